"""`chitram admin`: what each command does to accounts, seen through the application itself."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from chitram.domain.api_tokens import Scope, hash_secret
from chitram.domain.errors import InvalidCredentials, InvalidInvite, Unauthorized
from chitram.domain.sessions import SessionKind
from chitram.services.accounts import Origin
from chitram.services.authentication import Credentials
from chitram.settings import MEBIBYTE
from tests.factories.servers import clean_environment, command

pytestmark = pytest.mark.slow

EMAIL = "ann@example.org"
PASSWORD = "correct horse"
HERE = Origin(address="192.0.2.7", user_agent="test")


@pytest.fixture
def machine(chitram, environment):
    """A machine with a schema and no account."""
    environment.setenv("BCRYPT_ROUNDS", "4")
    assert chitram("migrate").exit_code == 0
    return chitram


@pytest.fixture
def admin(machine):
    """The same with one account, an admin's."""
    result = machine("admin", "create", EMAIL, "--password-stdin", input=f"{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    return machine


def sign_in(visit, *, password=PASSWORD):
    def act(application):
        return application.accounts.sign_in(EMAIL, password=password, origin=HERE, kind=SessionKind.BEARER)

    return visit(act)


def viewer_of(visit, token):
    return visit(lambda application: application.authentication.viewer(Credentials(bearer=token)))


def api_token(visit):
    """The secret of a new API token."""

    async def act(application):
        signed_in = await application.accounts.sign_in(EMAIL, password=PASSWORD, origin=HERE, kind=SessionKind.BEARER)
        viewer = await application.authentication.viewer(Credentials(bearer=signed_in.token))
        _, secret = await application.api_tokens.create(
            viewer, name="script", scopes=frozenset({Scope.UPLOAD}), expires_at=None
        )
        return secret

    return visit(act)


def register(visit, email, *, invite):
    def act(application):
        return application.accounts.register(
            email, password=PASSWORD, invite=invite, origin=HERE, kind=SessionKind.BEARER
        )

    return visit(act)


def audited(result):
    """The audit log's lines of a command, which go to standard error."""
    lines = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    return [(line["action"], line["outcome"], line["actor"], line["subject"]) for line in lines]


class TestCreate:
    def test_the_first_admin_can_sign_in(self, machine, visit):
        result = machine("admin", "create", "Ann@Example.org", "--password-stdin", input=PASSWORD)
        assert result.exit_code == 0
        user = sign_in(visit).user
        assert (user.email, user.is_admin, user.is_active) == ("Ann@example.org", True, True)
        assert result.stdout == f"Ann@example.org is an admin; the account's id is {user.id}\n"
        assert audited(result) == [("admin_create", "done", "command-line", user.id)]
        assert PASSWORD not in result.output

    def test_asks_twice_without_showing(self, machine, visit):
        result = machine("admin", "create", EMAIL, input=f"{PASSWORD}\n{PASSWORD}\n")
        assert result.exit_code == 0, result.output
        assert PASSWORD not in result.output
        assert sign_in(visit).user.email == EMAIL

    def test_asks_again_when_the_two_differ(self, machine, visit):
        result = machine("admin", "create", EMAIL, input=f"mistyped it\n{PASSWORD}\n{PASSWORD}\n{PASSWORD}\n")
        assert result.exit_code == 0
        assert "do not match" in result.stderr
        assert sign_in(visit).user.email == EMAIL

    def test_nothing_happens_without_an_answer(self, machine):
        assert machine("admin", "create", EMAIL, input="").exit_code == 1
        assert json.loads(machine("admin", "users", "--json").stdout) == []

    def test_an_e_mail_that_is_taken(self, admin):
        result = admin("admin", "create", "ANN@example.org", "--password-stdin", input=PASSWORD)
        assert result.exit_code == 1
        assert result.stderr.strip() == "There is an account with this e-mail already; promote makes it an admin's."

    @pytest.mark.parametrize("email", ["", "ann", "ann@", "@example.org", "a b@example.org", "ann@example.org\nx"])
    def test_what_is_no_e_mail(self, machine, email):
        result = machine("admin", "create", "--password-stdin", "--", email, input=PASSWORD)
        assert (result.exit_code, result.stderr) == (1, "e-mail: must be an e-mail address\n")

    @pytest.mark.parametrize("password", ["", "1234567", "x" * 129])
    def test_a_password_that_is_too_short_or_too_long(self, machine, password):
        result = machine("admin", "create", EMAIL, "--password-stdin", input=password)
        assert (result.exit_code, result.stderr) == (1, "password: must have 8 to 128 characters\n")

    def test_a_password_that_everybody_tries(self, machine, environment, tmp_path):
        (tmp_path / "known.txt").write_text("password1\n", encoding="utf-8")
        environment.setenv("PASSWORD_BLOCKLIST", str(tmp_path / "known.txt"))
        result = machine("admin", "create", EMAIL, "--password-stdin", input="password1\n")
        assert result.exit_code == 1
        assert result.stderr.startswith("password: is one of those")

    @pytest.mark.parametrize(
        ("piped", "complaint"),
        [
            (b"\xff\xfe12345678", "password: must be UTF-8\n"),
            (b"one line\nand another", "password: must be one line, without NUL\n"),
            (b"with\0nul in it", "password: must be one line, without NUL\n"),
        ],
    )
    def test_input_that_is_no_password(self, machine, piped, complaint):
        result = machine("admin", "create", EMAIL, "--password-stdin", input=piped)
        assert (result.exit_code, result.stderr) == (1, complaint)

    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_one_line_end_is_not_part_of_it(self, machine, visit, end):
        machine("admin", "create", EMAIL, "--password-stdin", input=f" {PASSWORD} {end}".encode())
        assert sign_in(visit, password=f" {PASSWORD} ").user.email == EMAIL

    def test_a_password_is_no_argument(self, machine):
        assert machine("admin", "create", EMAIL, "--password", PASSWORD).exit_code == 2
        assert machine("admin", "create", EMAIL, PASSWORD).exit_code == 2

    @pytest.mark.slow
    def test_a_terminal_does_not_show_it(self, tmp_path):
        environment = clean_environment(DATA_DIR=str(tmp_path / "data"), BCRYPT_ROUNDS="4")
        subprocess.run(command("migrate"), env=environment, cwd=tmp_path, check=True, capture_output=True)
        leader, follower = os.openpty()
        process = subprocess.Popen(
            command("admin", "create", EMAIL),
            env=environment, cwd=tmp_path, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        )  # fmt: skip
        os.close(follower)
        with os.fdopen(leader, "rb+", buffering=0) as terminal:
            seen = converse(terminal, [("Password: ", PASSWORD), ("Again: ", PASSWORD)])
        assert process.wait(timeout=60) == 0, seen
        assert f"{EMAIL} is an admin" in seen
        assert PASSWORD not in seen


def converse(terminal, exchange):
    """Everything that a terminal showed, while each question of `exchange` was answered."""
    seen, waiting = "", list(exchange)
    while True:
        try:
            piece = terminal.read(1024)
        except OSError:  # the other side is closed
            return seen
        if not piece:
            return seen
        seen += piece.decode(errors="replace")
        if waiting and waiting[0][0] in seen:
            terminal.write(f"{waiting.pop(0)[1]}\n".encode())


class TestRoles:
    def test_demote_and_promote(self, admin, visit):
        token = sign_in(visit).token
        assert viewer_of(visit, token).user.is_admin
        result = admin("admin", "demote", "ann@EXAMPLE.org")
        assert (result.exit_code, result.stdout) == (0, "ann@example.org is no admin\n")
        assert [line[:3] for line in audited(result)] == [("admin_role", "done", "command-line")]
        assert not viewer_of(visit, token).user.is_admin
        assert admin("admin", "promote", EMAIL).stdout == "ann@example.org is an admin\n"
        assert viewer_of(visit, token).user.is_admin


class TestResetPassword:
    def test_the_old_one_and_everything_that_it_opened_is_worthless(self, admin, visit):
        token, secret = sign_in(visit).token, api_token(visit)
        result = admin("admin", "reset-password", EMAIL, "--password-stdin", input="battery staple\n")
        assert result.exit_code == 0, result.output
        assert [line[:3] for line in audited(result)] == [("admin_password_reset", "done", "command-line")]
        for old in (token, secret):
            with pytest.raises(Unauthorized):
                viewer_of(visit, old)
        with pytest.raises(InvalidCredentials):
            sign_in(visit)
        assert sign_in(visit, password="battery staple").user.email == EMAIL

    def test_asks_for_it(self, admin, visit):
        result = admin("admin", "reset-password", EMAIL, input="battery staple\nbattery staple\n")
        assert result.exit_code == 0
        assert "battery" not in result.output
        assert sign_in(visit, password="battery staple").user.email == EMAIL

    def test_one_that_may_not_be(self, admin, visit):
        result = admin("admin", "reset-password", EMAIL, "--password-stdin", input="short")
        assert (result.exit_code, result.stderr) == (1, "password: must have 8 to 128 characters\n")
        assert sign_in(visit).user.email == EMAIL


class TestInvite:
    def test_the_code_alone_is_printed_and_opens_one_account(self, machine, environment, visit):
        environment.setenv("REGISTRATION", "invite")
        result = machine("admin", "invite")
        assert result.exit_code == 0
        code = result.stdout.removesuffix("\n")
        assert len(code) == 43
        assert code not in result.stderr
        assert [line[:3] for line in audited(result)] == [("admin_invite", "done", "command-line")]
        assert register(visit, "ben@example.org", invite=code).user.email == "ben@example.org"
        with pytest.raises(InvalidInvite):
            register(visit, "eve@example.org", invite=code)

    @pytest.mark.parametrize(("option", "days"), [((), 7), (("--valid-days", "30"), 30)])
    def test_its_life(self, machine, visit, option, days):
        before = datetime.now(tz=UTC)
        code = machine("admin", "invite", *option).stdout.strip()

        async def is_good(application, now):
            async with application.administration._database.begin() as work:
                return await work.invites.redeem(hash_secret(code), now=now)

        late, early = before + timedelta(days=days, minutes=5), before + timedelta(days=days, minutes=-5)
        assert not visit(lambda application: is_good(application, late))
        assert visit(lambda application: is_good(application, early))

    @pytest.mark.parametrize("registration", ["open", "closed"])
    def test_says_when_nobody_is_asked_for_one(self, machine, environment, registration):
        environment.setenv("REGISTRATION", registration)
        result = machine("admin", "invite")
        assert result.exit_code == 0
        assert "REGISTRATION is not `invite`" in result.stderr
        assert len(result.stdout.strip()) == 43

    @pytest.mark.parametrize("days", ["0", "366", "soon"])
    def test_lives_that_none_has(self, machine, days):
        assert machine("admin", "invite", "--valid-days", days).exit_code == 2


class TestUsers:
    def test_none(self, machine):
        (heading,) = machine("admin", "users").stdout.splitlines()
        assert re.split(" +", heading) == ["ID", "ROLE", "STATE", "FILES", "OF", "MIB", "OF", "SINCE", "E-MAIL"]
        assert json.loads(machine("admin", "users", "--json").stdout) == []

    def test_a_table_by_e_mail(self, admin):
        admin("admin", "create", "a@example.org", "--password-stdin", input=PASSWORD)
        admin("admin", "quota", "a@example.org", "--megabytes", "250", "--files", "0")
        admin("admin", "deactivate", "a@example.org")
        heading, *lines = admin("admin", "users").stdout.splitlines()
        today = f"{datetime.now(tz=UTC):%Y-%m-%d}"
        assert [line.split()[1:] for line in lines] == [
            ["admin", "closed", "0", "any", "0.0", "250", today, "a@example.org"],
            ["admin", "open", "0", "-", "0.0", "-", today, EMAIL],
        ]
        assert {line.index("@") - len(line.split()[-1].partition("@")[0]) for line in lines} == {heading.index("E-M")}
        assert {line[: line.index("admin")] != "" for line in lines} == {True}

    def test_json(self, admin, visit):
        admin("admin", "quota", EMAIL, "--files", "12")
        (record,) = json.loads(admin("admin", "users", "--json").stdout)
        user = sign_in(visit).user
        assert datetime.fromisoformat(record.pop("created_at")) == user.created_at.replace(microsecond=0)
        assert record == {
            "id": user.id,
            "email": EMAIL,
            "role": "admin",
            "is_active": True,
            "used_bytes": 0,
            "used_files": 0,
            "quota_bytes": None,
            "quota_files": 12,
        }


class TestQuota:
    @pytest.mark.parametrize(
        ("options", "expected", "said"),
        [
            (("--megabytes", "5"), (5 * MEBIBYTE, None), "5 MiB and as many files as the settings say"),
            (("--files", "7"), (None, 7), "as many MiB as the settings say and 7 files"),
            (("--megabytes", "0", "--files", "0"), (0, 0), "any number of MiB and any number of files"),
            (("--default",), (None, None), "as many MiB as the settings say and as many files as the settings say"),
        ],
    )
    def test_replaces_what_was_set(self, admin, visit, options, expected, said):
        admin("admin", "quota", EMAIL, "--megabytes", "3", "--files", "4")
        result = admin("admin", "quota", EMAIL, *options)
        assert (result.exit_code, result.stdout) == (0, f"{EMAIL} may keep {said}\n")
        user = sign_in(visit).user
        assert (user.quota_bytes, user.quota_files) == expected
        assert [line[:3] for line in audited(result)] == [("admin_quota", "done", "command-line")]

    @pytest.mark.parametrize(
        "options",
        [(), ("--default", "--files", "1"), ("--megabytes", "-1"), ("--megabytes", "9" * 14), ("--files", "9" * 20)],
    )
    def test_options_that_do_not_go_together(self, admin, visit, options):
        admin("admin", "quota", EMAIL, "--files", "4")
        assert admin("admin", "quota", EMAIL, *options).exit_code == 2
        assert sign_in(visit).user.quota_files == 4


class TestActivation:
    def test_closed_at_once_and_opened_again(self, admin, visit):
        token, secret = sign_in(visit).token, api_token(visit)
        result = admin("admin", "deactivate", EMAIL)
        assert (result.exit_code, result.stdout) == (0, f"{EMAIL} is closed\n")
        assert [line[:3] for line in audited(result)] == [("admin_activation", "done", "command-line")]
        for credential in (token, secret):
            with pytest.raises(Unauthorized):
                viewer_of(visit, credential)
        with pytest.raises(InvalidCredentials):
            sign_in(visit)
        assert admin("admin", "activate", EMAIL).stdout == f"{EMAIL} is open\n"
        assert viewer_of(visit, secret).user.email == EMAIL
        with pytest.raises(Unauthorized):
            viewer_of(visit, token)
        assert sign_in(visit).user.email == EMAIL


ON_ONE_ACCOUNT = (
    ("promote",),
    ("demote",),
    ("reset-password", "--password-stdin"),
    ("quota", "--default"),
    ("deactivate",),
    ("activate",),
)


@pytest.mark.parametrize("arguments", ON_ONE_ACCOUNT, ids=lambda arguments: arguments[0])
class TestAnAccountThatIsNotThere:
    def test_unknown(self, machine, arguments):
        result = machine("admin", *arguments, "nobody@example.org", input=PASSWORD)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "There is no account with this e-mail.\n"

    def test_no_e_mail(self, machine, arguments):
        result = machine("admin", *arguments, "nobody", input=PASSWORD)
        assert (result.exit_code, result.stderr) == (1, "e-mail: must be an e-mail address\n")


@pytest.mark.parametrize("arguments", [("users",), ("invite",), ("promote", EMAIL)])
class TestBeforeAnything:
    def test_without_a_database(self, chitram, environment, arguments):
        environment.setenv("REGISTRATION", "invite")
        result = chitram("admin", *arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("There is no database at /")
        assert result.stderr.endswith(
            "chitram.db: is this the directory of the service? If so, run `chitram migrate`\n"
        )

    def test_with_settings_that_cannot_be_used(self, chitram, environment, arguments):
        environment.setenv("REGISTRATION", "sometimes")
        result = chitram("admin", *arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("REGISTRATION: ")


def test_lines_for_people_or_programs(machine, environment):
    environment.setenv("LOG_FORMAT", "console")
    result = machine("admin", "create", EMAIL, "--password-stdin", input=PASSWORD)
    assert audited(result) == []
    assert "admin_create" in result.stderr
