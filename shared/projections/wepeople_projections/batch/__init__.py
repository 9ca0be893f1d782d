"""The changes of one transaction: many operations on one key become one. Pure."""
