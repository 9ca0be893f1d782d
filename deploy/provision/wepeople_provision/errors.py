"""What can stop a provisioner."""


class ProvisionError(Exception):
    """Something is not as the provisioner may leave it; the message says what, and what to do."""
