"""`chitram worker` that cannot be says why, in one line."""

import pytest


@pytest.mark.parametrize(
    ("changes", "arguments", "words"),
    [
        ({"CELERY_BROKER_URL": ""}, (), "CELERY_BROKER_URL: required by a worker"),
        ({"READ_ONLY": "true"}, (), "READ_ONLY: "),
        ({}, ("--queues", "jobs,mail"), "--queues: "),
        ({}, ("--metrics-bind", "9000"), "--metrics-bind: "),
        ({}, ("--loglevel", "loud"), "--loglevel: unknown log level"),
    ],
)
def test_what_is_wrong_is_named(environment, chitram, changes, arguments, words):
    environment.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    for name, value in changes.items():
        environment.setenv(name, value)
    result = chitram("worker", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_place_that_cannot_be_used_is_named(environment, chitram, tmp_path):
    (tmp_path / "file").write_text("")
    environment.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    environment.setenv("DATA_DIR", str(tmp_path / "file"))
    result = chitram("worker")
    assert result.exit_code == 1
    assert result.stderr.startswith("DATA_DIR: ")
