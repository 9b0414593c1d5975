"""The HTTP API: forms, uploads, jobs, runs, and what is refused."""

from __future__ import annotations

from pinxit.web.requests import kinds
from studios import Studio, png


def test_every_action_that_is_offered_has_a_form(studio: Studio) -> None:
    listed = studio.client.get("/v1/actions").json()
    assert [row["name"] for row in listed] == list(kinds())
    for row in listed:
        form = studio.client.get(f"/v1/actions/{row['name']}").json()
        assert form["summary"] == row["summary"]
        assert all(field["description"] for field in form["fields"])


def test_a_picture_is_edited(studio: Studio) -> None:
    picture = studio.upload(png())
    job = studio.ask("edit adjust", {"pictures": [picture], "edit": {"gamma": 2}})
    assert job["state"] == "done", job
    [result] = [file for file in job["result"]["files"] if file.endswith(f"{picture[7:]}.png")]
    assert studio.file(job["id"], result).startswith(b"\x89PNG")
    assert studio.client.get("/v1/views", params={"of": picture}).content.startswith(b"\x89PNG")


def test_the_same_job_twice_is_one_and_another_request_is_refused(studio: Studio) -> None:
    first = studio.ask("doctor", {}, name="the-same-1")
    assert studio.ask("doctor", {}, name="the-same-1") == first
    answer = studio.put("compare", {}, name="the-same-1")
    assert (answer.status_code, answer.json()["code"]) == (422, 2)


def test_what_is_not_there_is_said(studio: Studio) -> None:
    for path in ("/v1/jobs/nothing-here", "/v1/runs/none", "/nothing", "/v1/views?of=run:none"):
        answer = studio.client.get(path)
        assert answer.status_code == 404, path
        assert answer.json().keys() == {"error", "code"}


def test_answers_on_a_connection_that_stays_open_are_sent_at_once(studio: Studio) -> None:
    taken = [studio.client.get("/healthz").elapsed.total_seconds() for _ in range(9)]
    assert sorted(taken)[4] < 0.02, "TCP waits for more to send"
