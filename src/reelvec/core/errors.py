"""The one kind of error that a person is meant to read."""


class ReelvecError(Exception):
    """A message for the person at the keyboard: what was asked, what is there, what to do.

    The command line prints it and exits with code 2; it is never shown as a traceback.
    """

    def __init__(self, asked: str, there: str, do: str) -> None:
        super().__init__(f"{asked}\n  there is: {there}\n  to do:    {do}")
        self.asked, self.there, self.do = asked, there, do

    def __reduce__(self) -> tuple[type["ReelvecError"], tuple[str, str, str]]:
        """Cross a process border whole: the default would pass one argument where three are asked."""
        return type(self), (self.asked, self.there, self.do)
