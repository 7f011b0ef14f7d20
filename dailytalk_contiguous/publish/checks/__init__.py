"""Checks: what is wrong or doubtful in finished conversations, and the verdict."""
