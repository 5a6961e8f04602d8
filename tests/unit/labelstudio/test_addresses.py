import pytest

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.addresses import Origin, label_studio_address, shown, split_page, steps_out, with_page


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://Labels.Example:80/", "http://labels.example"),
        (" https://x:8443//a/b/ ", "https://x:8443/a/b"),
        ("HTTP://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_of_label_studio_is_normalised(text, address):
    assert label_studio_address(text, "X") == address


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10.179.18.196:8080", "must start with http:// or https://, for example http://10.179.18.196:8080"),
        ("localhost:8080", "for example http://localhost:8080"),
        ("label-studio", "for example http://label-studio"),
        ("http:/x", "must start with http://"),
        ("ftp://x", "must start with http://"),
        ("http://user:secret@x", "with a user"),
        ("http://x/api/users?a=", "a query"),
        ("http://x#", "a fragment"),
        ("http://x/a/../b", "plain prefix"),
        ("http://x/a;b", "plain prefix"),
        ("http://x/%2e%2e/b", "no address"),
        ("http://x\\y", "no address"),
        ("http://x:99999", "no address"),
        ("http://", "no address"),
    ],
)
def test_what_is_no_address_of_label_studio_is_refused_with_the_right_form(text, sentence):
    with pytest.raises(BadRequestError, match=f"X is .*{sentence}") as caught:
        label_studio_address(text, "X")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["/a/../b", "/a/%2e%2E/b", "/a/%252e%252e/b", "/a/..;x/b", "/a\\..\\b", "/a/%5c../b", "/./b", "/a/.. /b", "/a/.."],
)
def test_a_path_that_steps_out_is_seen_in_every_encoding(path):
    assert steps_out(path)


@pytest.mark.parametrize("path", ["/a/b..c.png", "/100%25.png", "/x/y;z.png", "/...png", ""])
def test_dots_in_names_are_no_steps(path):
    assert not steps_out(path)


def test_a_credential_goes_to_its_own_origin_and_to_its_step_up_to_https_alone():
    plain = Origin.of("http://h/a")
    assert plain.accepts(Origin.of("http://H:80/b"))
    assert plain.accepts(Origin.of("https://h"))
    assert not plain.accepts(Origin.of("https://h:8443"))
    assert not plain.accepts(Origin.of("http://h:81"))
    assert not Origin.of("https://h").accepts(plain)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://x/eyJhbGciOiJIUzI1.eyJhIjox.abc/y.png", "http://x/***/y.png"),
        ("/x/token=abc/y", "/x/token=***/y"),
        ("https://x/y;jsessionid=12", "https://x/y;jsessionid=***"),
        ("https://x/y.png?sig=1&token=2&X-Amz-Signature=3", "https://x/y.png"),
        ("/data/local-files/?d=a.png&token=2", "/data/local-files/?d=a.png"),
        ("user:secret@host:80", "user:host:80"),
        ("x\x1b[31m\u2028y\u202e", "x\\x1b[31m\\u2028y\\u202e"),
    ],
)
def test_a_message_hides_secrets_and_cannot_be_forged(url, expected):
    assert shown(url) == expected


@pytest.mark.parametrize("url", ["/a.tif", "/a.tif#page=2"])
def test_an_address_has_one_page(url):
    assert split_page(with_page(url, 3)) == ("/a.tif", 3)
