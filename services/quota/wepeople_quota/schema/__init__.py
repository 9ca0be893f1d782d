"""The ordered SQL of the schema `quota`."""
