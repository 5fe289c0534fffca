"""Airflow's REST API when things go wrong: away, busy, another program, another token; and many DAGs in few calls."""

from __future__ import annotations

from typing import Any

import pytest

from dcp_core.errors import (
    ConflictError,
    PermanentError,
    SettingsError,
    TransientError,
    UnauthenticatedError,
    UnauthorizedError,
)
from dcp_core.settings import Secret
from dcp_primitives.airflow.deploying import Deployment
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.calling import Access, Api
from dcp_primitives.airflow.service.reading import Expected, read
from dcp_primitives.airflow.service.runs import run_id_of
from dcp_primitives.airflow.service.views import ImportProblem, moment
from tests.dcp_primitives.airflow_playing import PASSWORD, T0, Call, Playing, Said, playing, problem, row


def expected(dag_id: str, version: str | None = "v1") -> Expected:
    return Expected(dag_id, version, Deployment(f"{dag_id}.py", None), "dags-folder")


def one_by_one(*answers: Said) -> Any:
    left = list(answers)
    return lambda call: left.pop(0)


def test_what_is_busy_is_asked_again_when_it_says() -> None:
    busy = Said(429, {"detail": "slow down"}, {"Retry-After": "3"})
    with playing(Playing(one_by_one(busy, Said(503, {"detail": "starting"}), Said(body=row("a"))))) as it:
        assert it.service().dags(["a"])["a"].version == "v1"
    assert it.sleeps == [3.0, 1.0]


def test_what_stays_busy_is_transient_and_says_how_long() -> None:
    long = Said(429, {"detail": "slow down"}, {"Retry-After": "120"})
    with playing(Playing(lambda call: long)) as it, pytest.raises(TransientError, match="429: slow down") as busy:
        it.service().dags(["a"])
    assert (busy.value.retry_after_s, it.sleeps) == (120.0, [])


def test_nobody_there_is_transient() -> None:
    with playing(Playing(lambda call: None)) as it:
        service = it.service()
    with pytest.raises(TransientError, match="Airflow cannot be reached"):
        service.dags(["a"])


def test_a_token_that_airflow_no_longer_takes_is_renewed_once() -> None:
    def answer(call: Call) -> Said:
        return Said(401, {"detail": "Token Expired"}) if call.token == "Bearer token-1" else Said(body=row("a"))

    with playing(Playing(answer)) as it:
        service = it.service()
        service.dags(["a"])
        service.dags(["a"])
    assert it.signed_in == 2
    with playing(Playing(lambda call: Said(403, {"detail": "Invalid JWT token"}))) as it:
        with pytest.raises(UnauthenticatedError, match="does not know dcp"):
            it.service().dags(["a"])
        assert it.signed_in == 2, "once more, and no more"


def test_a_given_token_is_used_as_it_is() -> None:
    given = {"username": "", "password": Secret(""), "token": Secret("my-token")}
    with playing(Playing(lambda call: Said(401, {"detail": "Token Expired my-token"}))) as it:
        with pytest.raises(UnauthenticatedError) as refused:
            it.service(**given).dags(["a"])
        assert (it.signed_in, it.calls[0].token) == (0, "Bearer my-token")
    assert "my-token" not in str(refused.value)


def test_a_gate_that_wants_a_given_token_everywhere_is_passed() -> None:
    class Gate(Playing):
        def said(self, call: Call) -> Said:
            return super().said(call) if call.token == "Bearer my-token" else Said(401, {"detail": "who are you?"})

    with playing(Gate(lambda call: Said(body=row("a")))) as it:
        assert it.service(username="", token=Secret("my-token")).dags(["a"])["a"].version == "v1"


@pytest.mark.parametrize(
    "url",
    [
        "http://admin:s3cretpw@localhost",
        "http://admin:s3/cretpw@localhost:1",
        "http://s3cretpw@localhost",
        "admin:s3cretpw@localhost",
        "http://localhost:s3cretpw",
        "s3cretpw",
    ],
)
def test_an_address_with_a_password_is_refused_at_once_and_not_told(url: str) -> None:
    sleeps: list[float] = []
    with pytest.raises(SettingsError, match=r"^\[airflow\] url ") as refused:
        AirflowService(Api(Access(url), sleeps.append)).dags(["a"])
    assert sleeps == []
    assert "s3" not in f"{refused.value} {refused.value.where} {refused.value.hint}"


def test_who_may_not_is_told_what() -> None:
    refusal = pytest.raises(UnauthorizedError, match="Airflow refuses DELETE /api/v2/dags/a: Forbidden")
    with playing(Playing(lambda call: Said(403, {"detail": "Forbidden"}))) as it, refusal as refused:
        it.service().delete("a")
    assert not isinstance(refused.value, UnauthenticatedError)


def test_no_secret_is_told_whatever_the_server_repeats() -> None:
    wrong = Playing(lambda call: None, sign_in=lambda number: Said(401, {"detail": f"no user with {PASSWORD}"}))
    with playing(wrong) as it, pytest.raises(UnauthenticatedError) as refused:
        it.service().dags(["a"])
    assert PASSWORD not in f"{refused.value!r} {refused.value} {refused.value.hint}"
    assert PASSWORD not in repr(it.service())


@pytest.mark.parametrize(
    "version", [Said(404, {"detail": "Not Found"}), Said(200, "<html>"), Said(200, {}), Said(405, {"detail": "no"})]
)
def test_another_program_is_not_taken_for_an_airflow_without_dags(version: Said) -> None:
    with playing(Playing(lambda call: None, version=version)) as it:
        with pytest.raises(PermanentError, match="there is no REST API v2 of Airflow 3"):
            it.service().dags(["a"])
        assert it.calls == []


def test_a_token_does_not_follow_a_redirect() -> None:
    with playing(Playing(lambda call: None)) as elsewhere:
        moved = Said(302, "", {"Location": f"{elsewhere.url}/api/v2/dags/a"})
        with playing(Playing(lambda call: moved)) as it, pytest.raises(PermanentError, match="302"):
            it.service().dags(["a"])
        assert elsewhere.calls == []


def paged(rows: list[dict[str, Any]]) -> Any:
    """As Airflow filters and pages its list of DAGs."""

    def answer(call: Call) -> Said:
        if call.path != "/api/v2/dags":
            return Said(body={"import_errors": [], "total_entries": 0})
        begins = call.query["dag_id_prefix_pattern"][0].split("|")
        found = [each for each in rows if any(each["dag_id"].startswith(begin) for begin in begins)]
        offset, limit = int(call.query["offset"][0]), int(call.query["limit"][0])
        assert call.query["exclude_stale"] == ["false"]
        return Said(body={"dags": found[offset : offset + limit], "total_entries": len(found)})

    return answer


def test_three_hundred_dags_are_read_with_a_handful_of_calls() -> None:
    names = [f"dataset_{number:03}_dag" for number in range(300)]
    # Longer names with the same beginning are in the answers too.
    rows = [row(name) for each in names for name in (each, f"{each}_of_somebody_else")]
    with playing(Playing(paged(rows))) as it:
        readings = read(it.service(), [expected(name) for name in names])
    assert len(readings) == 300
    assert all(each.is_read for each in readings.values())
    assert len(it.calls) <= 12


def test_a_list_that_is_not_there_is_an_error_and_asked_for_once() -> None:
    with playing(Playing(lambda call: None)) as it:
        with pytest.raises(PermanentError, match="nothing at /api/v2/dags"):
            it.service().dags(["a", "b"])
        assert [call.query["dag_id_prefix_pattern"] for call in it.calls] == [["a|b"]]
        assert it.service().runs("a", 10) == ()


def test_what_is_the_matter_with_a_dag_is_said_in_a_few_words() -> None:
    rows = {
        "new": None,
        "old": row("old", "v0"),
        "foreign": row("foreign", None, relative_fileloc="theirs.py"),
        "untagged": row("untagged", None),
        "stale": row("stale", is_stale=True),
        "moved": row("moved", bundle_name="another"),
        "fine": row("fine"),
        "broken": row("broken", "v0", is_stale=True, has_import_errors=True),
    }
    there = [each for each in rows.values() if each]

    def answer(call: Call) -> Said:
        if call.path == "/api/v2/importErrors":
            assert call.query["bundle_name"] == ["dags-folder"]
            return Said(body={"import_errors": [problem("broken.py", T0)], "total_entries": 1})
        said: Said = paged(there)(call)
        return said

    with playing(Playing(answer)) as it:
        readings = read(it.service(), [expected(name) for name in rows])
    assert {name: str(each) for name, each in readings.items()} == {
        "new": "not read yet",
        "old": "version v0 is read",
        "foreign": "another file is read",
        "untagged": "no version is told: the tag dcp:<version> is missing",
        "stale": "counted as gone",
        "moved": "read from the bundle another",
        "fine": "read",
        "broken": "import error: broken.py: ModuleNotFoundError: No module named 'x'",
    }
    assert [name for name, each in readings.items() if each.is_read] == ["fine"]
    assert len({each.token for each in readings.values()}) == len(readings)
    assert len(it.calls) == 2


def test_a_run_that_is_there_already_is_given_as_it_is() -> None:
    told = {"dag_run_id": "r", "state": "running", "run_type": "manual"}

    def answer(call: Call) -> Said:
        return Said(409, {"detail": "it exists"}) if call.method == "POST" else Said(body=told)

    with playing(Playing(answer)) as it:
        run = it.service().trigger("a", "r", {"day": "1"})
    assert run is not None
    assert (run.id, run.state) == ("r", "running")
    assert it.calls[0].body == {"dag_run_id": "r", "logical_date": None, "conf": {"day": "1"}}


def test_what_does_not_validate_is_said() -> None:
    detail = [{"loc": ["body", "dag_run_id"], "msg": "too long"}]
    refusal = pytest.raises(PermanentError, match=r"422 to POST .*body\.dag_run_id: too long")
    with playing(Playing(lambda call: Said(422, {"detail": detail}))) as it, refusal:
        it.service().trigger("a", "r", {})


def test_a_conflict_of_a_deletion_is_told_as_one() -> None:
    conflict = Said(409, {"detail": "Task instances … are still running"})
    with playing(Playing(lambda call: conflict)) as it, pytest.raises(ConflictError, match="still running"):
        it.service().delete("a")


def test_ids_of_runs_are_what_airflow_takes_and_as_different_as_their_keys() -> None:
    assert run_id_of("monday") == "monday"
    keys = [f"start:derived_dataset/{'x' * 300}:{number}" for number in range(50)] + ["a/b", "a~b", "a b"]
    ids = {run_id_of(key) for key in keys}
    assert len(ids) == len(keys)
    assert all(len(each) <= 200 and not set(each) & set("/ ") for each in ids)


def test_an_import_error_names_the_line_of_the_file_itself() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/dags/a.py", line 12, in <module>\n    f()\n'
        '  File "/lib/other.py", line 99, in f\n    raise ValueError("no")\nValueError: no\n'
    )
    at = moment(T0)
    assert at is not None
    assert str(ImportProblem("a.py", at, text)) == "a.py:12: ValueError: no"
    assert str(ImportProblem("b.py", at, "")) == "b.py: no words"


def test_of_a_checkers_error_each_dag_is_told_its_own_line() -> None:
    folder, checker = "dcp/loader_00of16_ab", "dcp/checker_ab.py"
    text = (
        'Traceback (most recent call last):\n  File "/d/dcp/checker_ab.py", line 400, in <module>\n'
        "    check_documents()\n"
        f"ValueError: {folder}/a_dag.json: TypeError: mine (line 3 of checker_ab.py)\n"
        f"{folder}/z_dag.json: KeyError: somebody else (line 9 of checker_ab.py)\n"
    )

    def answer(call: Call) -> Said | None:
        rows = [problem(checker, T0, text)]
        return Said(body={"import_errors": rows, "total_entries": 1}) if "importErrors" in call.path else None

    said = []
    with playing(Playing(answer)) as it:
        for name in ("a_dag", "z_dag", "fine_dag"):
            at = Deployment(f"{folder}.py", None, document=f"{folder}/{name}.json", checker=checker)
            said.append(str(read(it.service(), [Expected(name, "v1", at, "dags-folder")])[name]))
    assert said == [
        f"import error: {folder}/a_dag.json: TypeError: mine (line 3 of checker_ab.py)",
        f"import error: {folder}/z_dag.json: KeyError: somebody else (line 9 of checker_ab.py)",
        "not read yet",
    ]


def test_an_import_error_tells_no_password_that_is_in_a_traceback() -> None:
    row = problem("a.py", T0, 'File "/d/a.py", line 3\nOSError: no answer of postgresql://dcp:hunter2@db/x\n')
    told = ImportProblem.read(row)
    assert "hunter2" not in f"{told} {told.text}"
    assert str(told) == "a.py:3: OSError: no answer of postgresql://dcp:***@db/x"
