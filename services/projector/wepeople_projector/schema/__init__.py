"""The read models' tables and views, as ordered SQL."""
