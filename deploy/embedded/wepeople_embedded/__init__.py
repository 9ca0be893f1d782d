"""The one-command run: real servers from wheels and every service, as child processes that never outlive their parent."""
