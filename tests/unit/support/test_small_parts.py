"""Caching, disposition, links, representations, addresses and hosts."""

import re
from datetime import datetime, timedelta, timezone
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chitram.domain.addresses import limit_subject
from chitram.domain.errors import InvalidRequest
from chitram.domain.images import Visibility
from chitram.entrypoints.support.addresses import Origin, TrustedProxies
from chitram.entrypoints.support.asgi import accept, combine_headers, header_map, request_id
from chitram.entrypoints.support.caching import cache_control, http_date
from chitram.entrypoints.support.disposition import content_disposition
from chitram.entrypoints.support.hosts import AllowedHosts
from chitram.entrypoints.support.links import base_url, image_links
from chitram.entrypoints.support.representations import metadata, render, timestamp, upload_response
from chitram.entrypoints.support.schemas import ImageMetadata, UploadResponse
from tests.unit.support.asgi_client import make_scope
from tests.unit.support.records import CREATED, IMAGE_ID, make_record


@pytest.mark.parametrize(
    ("visibility", "requested", "expected"),
    [
        (Visibility.PUBLIC, "12345678", b"public, max-age=31536000, immutable"),
        (Visibility.UNLISTED, "12345678", b"public, max-age=31536000, immutable"),
        (Visibility.PUBLIC, "87654321", b"public, max-age=300"),
        (Visibility.UNLISTED, None, b"public, max-age=300"),
        (Visibility.PRIVATE, "12345678", b"private, no-store"),
    ],
)
def test_cache_control(visibility, requested, expected):
    assert cache_control(visibility, version="12345678", requested=requested) == expected


def test_dates_are_in_gmt():
    moment = datetime(2026, 3, 4, 7, 6, 7, tzinfo=timezone(timedelta(hours=2)))
    assert http_date(moment) == b"Wed, 04 Mar 2026 05:06:07 GMT"
    assert timestamp(moment) == "2026-03-04T05:06:07Z"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", b'inline; filename="a.jpg"'),
        ('a"b\\c.jpg', b"inline; filename=\"a_b_c.jpg\"; filename*=UTF-8''a%22b%5Cc.jpg"),
        ("é.png", b"inline; filename=\"e.png\"; filename*=UTF-8''%C3%A9.png"),
        ("x\r\ny.png", b'inline; filename="xy.png"'),
    ],
)
def test_disposition(name, expected):
    assert content_disposition(name) == expected


def test_disposition_as_attachment():
    assert content_disposition("a.jpg", attachment=True) == b'attachment; filename="a.jpg"'


@given(st.text(alphabet=st.characters(), max_size=80))
def test_any_name_makes_a_well_formed_disposition(name):
    value = content_disposition(name).decode("ascii")
    assert re.fullmatch(r"""inline; filename="[^"\\\x00-\x1f%]*"(; filename\*=UTF-8''[\w!#$&+.^`|~%-]*)?""", value)
    extended = value.partition("filename*=UTF-8''")[2]
    if extended:
        assert unquote(extended) == re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "", name)


def test_base_url_prefers_the_public_one():
    scope = make_scope("/", scheme="https", **{"chitram.host": "h:8443"})
    assert base_url(scope, public_url="https://img.example.org/sub/") == "https://img.example.org/sub"
    assert base_url(scope, public_url="") == "https://h:8443"


def test_links_carry_the_version():
    record = make_record()
    links, version = image_links(record, "https://h"), record.version
    assert links.url == f"https://h/api/v1/images/{IMAGE_ID}/file?v={version}"
    assert links.thumbnail_url == links.thumbnails["300"]
    assert links.thumbnails["150"] == f"https://h/api/v1/images/{IMAGE_ID}/thumbnail?size=150&v={version}"
    assert list(links.thumbnails) == ["150", "300", "600"]


@pytest.mark.parametrize("placeholder", [None, "abc"])
def test_representations_are_what_the_schemas_say(placeholder):
    record = make_record(placeholder=placeholder)
    shown = orjson.loads(render(metadata(record, base="https://h")))
    uploaded = upload_response(record, base="https://h", delete_token="t" * 43, duplicate_of=None)
    assert set(shown) == set(ImageMetadata.model_fields) - {"problem"}
    assert set(uploaded) == set(UploadResponse.model_fields) - {"problem"}
    assert ImageMetadata.model_validate(shown).created_at == CREATED
    validated = UploadResponse.model_validate(uploaded)
    assert validated.model_dump(mode="json", by_alias=True, exclude_unset=True) == uploaded
    assert uploaded["created_at"].endswith("Z")


def test_a_broken_file_says_why():
    shown = orjson.loads(render(metadata(make_record(broken_reason="corrupt"), base="https://h")))
    assert set(shown) == set(ImageMetadata.model_fields)
    assert ImageMetadata.model_validate(shown).problem == "corrupt"


def test_metadata_keeps_secrets():
    text = render(metadata(make_record(), base="https://h")).decode()
    assert "f" * 64 not in text
    assert "0" * 12 not in text


def test_header_lines_of_one_name_are_joined():
    assert combine_headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]) == {b"a": b"1, 3", b"b": b"2"}
    scope = make_scope(headers=[("Accept", "x/y")])
    assert header_map(scope) is header_map(scope)
    assert accept(scope) == "x/y"
    assert accept(make_scope()) is None
    assert request_id(scope) == ""


PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", "1.2.3.4", "192.0.2.1"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
        ("10.0.0.1", "10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, unknown", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
        ("10.0.0.1", "[2001:db9::1]:80", "2001:db9::1"),
        ("10.0.0.1", "2001:DB9::1", "2001:db9::1"),
        ("::ffff:10.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"),
        ("::ffff:192.0.2.1", "1.2.3.4", "192.0.2.1"),
        ("2001:db8::7", "1.2.3.4", "1.2.3.4"),
        ("testclient", "1.2.3.4", "testclient"),
        (None, "1.2.3.4", ""),
    ],
)
def test_the_rightmost_untrusted_hop_is_the_client(peer, forwarded, client):
    assert PROXIES.origin(peer, {b"x-forwarded-for": forwarded.encode()}).client == client


@pytest.mark.parametrize(
    ("client", "subject"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_limits_count_networks_of_ipv6(client, subject):
    assert limit_subject(client) == subject


def test_the_scheme_counts_from_trusted_proxies_only():
    headers = {b"x-forwarded-proto": b"http, HTTPS", b"x-forwarded-host": b"a, img.example.org"}
    assert PROXIES.origin("10.0.0.1", headers) == Origin("10.0.0.1", "https")
    assert PROXIES.origin("192.0.2.1", headers) == Origin("192.0.2.1")
    assert PROXIES.origin("10.0.0.1", {b"x-forwarded-proto": b"gopher"}) == Origin("10.0.0.1")


def test_many_peers_do_not_pile_up():
    proxies = TrustedProxies(["10.0.0.0/8"])
    for number in range(5000):
        assert proxies.origin(f"192.0.{number // 250}.{number % 250}", {}).scheme is None
    assert len(proxies._origins) <= 4096


@pytest.mark.parametrize(
    ("names", "host", "allowed"),
    [
        ([], "anything.example:8000", True),
        ([], "[::1]:8000", True),
        ([], "evil.example/x?", False),
        ([], "a, b", False),
        ([], "", False),
        (["*"], "h", True),
        (["img.example.org"], "IMG.example.org:443", True),
        (["img.example.org"], "img.example.org.", True),
        (["img.example.org"], "evil.org", False),
        (["*.example.org"], "a.b.example.org", True),
        (["*.example.org"], "example.org", False),
        (["*.example.org"], "evilexample.org", False),
    ],
)
def test_hosts(names, host, allowed):
    hosts = AllowedHosts(names)
    for _ in range(2):
        if allowed:
            hosts.check(host)
        else:
            with pytest.raises(InvalidRequest):
                hosts.check(host)


def test_many_hosts_do_not_pile_up():
    hosts = AllowedHosts([])
    for number in range(1500):
        hosts.check(f"h{number}")
    assert len(hosts._accepted) <= 1024
