"""The ordered SQL files that make the schema `auth`; the provisioner runs them as the role `wepeople_auth`."""
