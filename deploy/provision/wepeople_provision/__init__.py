"""Makes the stream, the database roles and the schemas what the services expect; nobody else may."""
