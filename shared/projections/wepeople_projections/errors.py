"""What can be wrong with a projection, as errors with fields."""


class ProjectionError(Exception):
    """Anything below; its text says what to do next."""


class DefinitionError(ProjectionError):
    """A projection, a table or a column is defined as it cannot be; `where` names it."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class OperationError(ProjectionError):
    """A handler emitted what cannot be done to a table: the row is parked with this error."""
