"""The one-command run: real servers from wheels and every service, as children that never outlive their parent."""
