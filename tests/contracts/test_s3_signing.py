"""Signatures are those of the examples in the Amazon S3 API reference."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from chitram.adapters.blobs.s3_client import S3Bucket, origin
from chitram.adapters.blobs.s3_links import S3Links, path_of
from chitram.adapters.blobs.s3_signing import S3Account, encoded_target, sha256_hex, signed_headers, signed_url
from chitram.adapters.memory.clock import ManualClock

EXAMPLE = S3Account(
    "https://examplebucket.s3.amazonaws.com",
    access_key="AKIAIOSFODNN7EXAMPLE",
    secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    region="us-east-1",
)
NOW = datetime(2013, 5, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "signature"),
    [
        (
            "GET", "/test.txt", {}, {"range": "bytes=0-9"}, b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT", "/test$file.text", {},
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET", "/", {"lifecycle": ""}, {}, b"",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET", "/", {"max-keys": "2", "prefix": "J"}, {}, b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)  # fmt: skip
def test_requests_are_signed_as_in_the_examples(method, path, query, headers, body, signature):
    fields = signed_headers(
        EXAMPLE, method, path, now=NOW, payload_sha256=sha256_hex(body), query=query, headers=headers
    )
    assert fields["authorization"].endswith(f"Signature={signature}")


def test_a_link_is_signed_as_in_the_example():
    url = signed_url(EXAMPLE, "/test.txt", now=NOW, expires=timedelta(seconds=86_400))
    assert url.startswith("https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&")
    signature = parse_qs(urlsplit(url).query)["X-Amz-Signature"]
    assert signature == ["aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"]


def test_a_target_is_encoded_as_it_was_signed():
    assert encoded_target("/b/a b+c", {"prefix": "x/y", "uploads": ""}) == "/b/a%20b%2Bc?prefix=x%2Fy&uploads="
    assert encoded_target("/b", None) == "/b"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://minio:9000", "http://minio:9000"),
        ("https://s3.amazonaws.com:443", "https://s3.amazonaws.com"),
        ("http://S3.Example.org:80/path", "http://s3.example.org"),
        ("https://example.org:80", "https://example.org:80"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_the_port_that_goes_without_saying_is_not_signed(url, expected):
    assert origin(url) == expected


async def test_links_lead_to_the_address_that_clients_know():
    bucket = S3Bucket(
        S3Account(origin("https://cdn.example.org/pictures/"), access_key="K", secret_key="S", region="eu"), "b"
    )
    links = S3Links(bucket, clock=ManualClock(), prefix=path_of("https://cdn.example.org/pictures/"))
    url = await links.signed_url(
        "blobs/ab/x.1",
        expires=timedelta(seconds=60),
        content_type="image/png",
        disposition="inline; filename*=UTF-8''%C3%A4.png",
        cache_control="private, no-store",
    )
    parts = urlsplit(url)
    assert links.origin == "https://cdn.example.org"
    assert url.startswith("https://cdn.example.org/pictures/b/blobs/ab/x.1?")
    query = parse_qs(parts.query)
    assert query["response-content-disposition"] == ["inline; filename*=UTF-8''%C3%A4.png"]
    assert query["X-Amz-Expires"] == ["60"]
    assert "S" not in query["X-Amz-Credential"][0].split("/")


def test_a_secret_is_not_in_what_an_account_shows():
    assert "wJalr" not in repr(EXAMPLE)
    assert "wJalr" not in repr(S3Bucket(EXAMPLE, "b"))
