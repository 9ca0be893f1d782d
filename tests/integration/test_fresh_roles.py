"""What one test does to the server's roles is not the next one's trouble."""

from psycopg import AsyncConnection

from tests.support.fresh import Template, fresh_system


async def test_a_role_that_was_left_with_another_password_has_its_own_again(template: Template) -> None:
    async with fresh_system(template) as careless, await AsyncConnection.connect(careless.dsn("admin")) as admin:
        await admin.execute("ALTER ROLE wepeople_auth PASSWORD 'another'")
    async with fresh_system(template) as following:
        connection = await AsyncConnection.connect(following.dsn("auth"))
        await connection.close()
