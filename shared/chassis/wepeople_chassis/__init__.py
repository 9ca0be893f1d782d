"""What every service stands on. A module here is used by two services or more, or it does not belong here."""
