"""What each command of `wepeople projection` does; `cli.py` loads one when it runs."""
