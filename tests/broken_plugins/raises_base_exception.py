"""Raises what `except Exception` does not catch."""


class Stop(BaseException):
    pass


raise Stop("not an Exception")
