from sam_backend.errors import SamInspectError
from sam_inspect.output import print_error


def test_a_printed_error_shows_no_secret_and_sends_nothing_to_the_terminal(capsys):
    print_error(SamInspectError("No image at https://a:b@host/x?sig=c \x1b[2J"))
    assert capsys.readouterr().err == "sam-inspect: No image at https://***@host/x?sig=*** \\x1b[2J\n"
