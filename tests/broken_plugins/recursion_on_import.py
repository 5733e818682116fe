"""Never ends."""


def again():
    return again()


again()
