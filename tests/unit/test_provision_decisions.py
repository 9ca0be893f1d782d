"""What the provisioner decides before it touches anything."""

from wepeople_provision.dsn import login_dsn
from wepeople_provision.stream import SETTINGS, plan_stream


def test_a_missing_stream_is_created_with_every_setting_of_the_contract() -> None:
    plan = plan_stream(None)
    assert plan.create is not None
    assert plan.create["duplicate_window"] == 600 * 10**9
    assert plan.create["subjects"] == ["ingest.*.*.*.*"]
    assert plan.update is None


def test_a_stream_that_is_as_it_should_be_is_left_alone() -> None:
    assert plan_stream(SETTINGS | {"num_replicas": 3, "metadata": {"by": "the server"}}) == plan_stream(SETTINGS)
    assert plan_stream(SETTINGS).update is None


def test_settings_that_the_server_leaves_out_because_they_are_false_are_no_difference() -> None:
    answered = {name: value for name, value in SETTINGS.items() if value not in (False, 0)}
    assert plan_stream(answered).differences == []


def test_wrong_settings_are_corrected_and_what_is_not_ours_is_kept() -> None:
    plan = plan_stream(SETTINGS | {"duplicate_window": 2 * 10**9, "num_replicas": 3})
    assert [str(difference) for difference in plan.differences] == ["duplicate_window 2000000000 -> 600000000000"]
    assert plan.update is not None
    assert (plan.update["duplicate_window"], plan.update["num_replicas"]) == (600 * 10**9, 3)


def test_the_address_for_another_login_keeps_the_server_and_quotes_the_password() -> None:
    admin = "host=10.0.0.5 port=6543 dbname=wepeople user=postgres"
    assert login_dsn(admin, "reader", "p/w@1") == "postgresql://reader:p%2Fw%401@10.0.0.5:6543/wepeople"
    assert login_dsn(admin, "reader", "x", "other").endswith("/other")
