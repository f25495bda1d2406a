"""Which base each kind of pipeline gets, in clones as shallow as runners make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nx_dte.base_commit import NotACheckoutError, Rule
from tests.integration.base_commit.conftest import git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.base_commit.conftest import Checkout, Remote

    MakeCheckout = Callable[..., Checkout]

ZEROS = "0" * 40
MISSING = "1" * 40
# As shallow as can be; GitLab's default; complete.
DEPTHS = [1, pytest.param(20, marks=pytest.mark.slow), pytest.param(0, marks=pytest.mark.slow)]


def merge_request(base: str | None = None, **more: str) -> dict[str, str]:
    variables = {
        "CI_MERGE_REQUEST_IID": "12",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_COMMIT_BEFORE_SHA": ZEROS,
        **more,
    }
    return variables if base is None else {**variables, "CI_MERGE_REQUEST_DIFF_BASE_SHA": base}


@pytest.mark.parametrize("depth", DEPTHS)
class TestMergeRequests:
    def test_the_diff_base(self, remote: Remote, checkout: MakeCheckout, depth: int) -> None:
        base = remote.tip()
        head = remote.commit("feature", 3)
        found = checkout(head, ref="refs/remotes/origin/feature", depth=depth).resolve(merge_request(base))
        assert (found.base, found.head, found.rule) == (base, head, Rule.MERGE_REQUEST)

    def test_nx_finds_the_same_base_in_the_clone(
        self, remote: Remote, checkout: MakeCheckout, depth: int
    ) -> None:
        base = remote.tip()
        head = remote.commit("feature", 25)
        clone = checkout(head, ref="refs/remotes/origin/feature", depth=depth)
        clone.resolve(merge_request(base))
        assert git(clone.folder, "merge-base", base, head) == base

    def test_a_merge_base_far_away(self, remote: Remote, checkout: MakeCheckout, depth: int) -> None:
        base = remote.tip()
        head = remote.commit("feature", 130)
        git(remote.folder, "checkout", "-q", "main")
        remote.commit("main", 130)
        clone = checkout(head, ref="refs/remotes/origin/feature", depth=depth)
        found = clone.resolve(merge_request())
        assert (found.base, found.rule) == (base, Rule.TARGET_BRANCH)

    def test_a_diff_base_that_is_gone(self, remote: Remote, checkout: MakeCheckout, depth: int) -> None:
        base = remote.tip()
        head = remote.commit("feature", 2)
        clone = checkout(head, ref="refs/remotes/origin/feature", depth=depth)
        found = clone.resolve(merge_request(MISSING))
        assert (found.base, found.rule) == (base, Rule.TARGET_BRANCH)
        assert any(MISSING in line and "next rule" in line for line in clone.said)

    def test_a_merged_result(self, remote: Remote, checkout: MakeCheckout, depth: int) -> None:
        base = remote.tip()
        remote.commit("feature", 2)
        git(remote.folder, "checkout", "-q", "main")
        remote.commit("main", 2)
        git(remote.folder, "checkout", "-q", "--detach")
        git(remote.folder, "merge", "-q", "--no-ff", "-m", "result", "feature")
        clone = checkout(remote.tip(), ref="refs/remotes/origin/result", depth=depth)
        assert clone.resolve(merge_request(base)).base == base

    def test_one_without_changes_affects_nothing(
        self, remote: Remote, checkout: MakeCheckout, depth: int
    ) -> None:
        head = remote.tip()
        git(remote.folder, "branch", "feature")
        found = checkout(head, ref="refs/remotes/origin/feature", depth=depth).resolve(merge_request())
        assert (found.base, found.rule) == (head, Rule.TARGET_BRANCH)


@pytest.mark.parametrize("depth", DEPTHS)
class TestBranches:
    def test_a_push_to_the_default_branch(self, remote: Remote, checkout: MakeCheckout, depth: int) -> None:
        before = remote.tip()
        head = remote.commit("main", 3)
        clone = checkout(head, ref="refs/remotes/origin/main", depth=depth)
        found = clone.resolve(CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=before)
        assert (found.base, found.rule) == (before, Rule.BEFORE)

    def test_a_new_branch(self, remote: Remote, checkout: MakeCheckout, depth: int) -> None:
        base = remote.tip()
        head = remote.commit("feature", 4)
        clone = checkout(head, ref="refs/remotes/origin/feature", depth=depth)
        found = clone.resolve(CI_COMMIT_BRANCH="feature", CI_COMMIT_BEFORE_SHA=ZEROS)
        assert (found.base, found.rule) == (base, Rule.TARGET_BRANCH)

    def test_a_second_push_to_a_branch_covers_the_first(
        self, remote: Remote, checkout: MakeCheckout, depth: int
    ) -> None:
        base = remote.tip()
        before = remote.commit("feature", 2)
        head = remote.commit("feature", 1)
        clone = checkout(head, ref="refs/remotes/origin/feature", depth=depth)
        found = clone.resolve(CI_COMMIT_BRANCH="feature", CI_COMMIT_BEFORE_SHA=before)
        assert found.base == base

    def test_a_new_branch_without_commits_of_its_own_is_not_empty(
        self, remote: Remote, checkout: MakeCheckout, depth: int
    ) -> None:
        head = remote.tip()
        clone = checkout(head, ref="refs/remotes/origin/feature", depth=depth)
        found = clone.resolve(CI_COMMIT_BRANCH="feature", CI_COMMIT_BEFORE_SHA=ZEROS)
        assert (found.base, found.rule) == (remote.parent(head), Rule.PARENT)

    def test_a_branch_that_follows_the_default_one_compares_with_its_own_past(
        self, remote: Remote, checkout: MakeCheckout, depth: int
    ) -> None:
        before = remote.parent(remote.tip(), 5)
        clone = checkout(remote.tip(), ref="refs/remotes/origin/production", depth=depth)
        found = clone.resolve(CI_COMMIT_BRANCH="production", CI_COMMIT_BEFORE_SHA=before)
        assert (found.base, found.rule) == (before, Rule.BEFORE)

    def test_a_forced_push(self, remote: Remote, checkout: MakeCheckout, depth: int) -> None:
        common = remote.tip()
        before = remote.commit("main", 2)
        git(remote.folder, "reset", "-q", "--hard", common)
        head = remote.commit("main", 3)
        clone = checkout(head, ref="refs/remotes/origin/main", depth=depth)
        found = clone.resolve(CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=before)
        assert (found.base, found.rule) == (common, Rule.BEFORE)

    def test_a_forced_push_backwards_is_not_empty(
        self, remote: Remote, checkout: MakeCheckout, depth: int
    ) -> None:
        head = remote.tip()
        before = remote.commit("main", 2)
        git(remote.folder, "reset", "-q", "--hard", head)
        clone = checkout(head, ref="refs/remotes/origin/main", depth=depth)
        found = clone.resolve(CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=before)
        assert (found.base, found.rule) == (remote.parent(head), Rule.PARENT)

    def test_a_forced_push_of_another_history(
        self, remote: Remote, checkout: MakeCheckout, depth: int
    ) -> None:
        before = remote.tip()
        git(remote.folder, "checkout", "-q", "--orphan", "other")
        git(remote.folder, "commit", "-q", "--allow-empty", "-m", "another first one")
        head = remote.commit("other", 4)
        clone = checkout(head, ref="refs/remotes/origin/main", depth=depth)
        found = clone.resolve(CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=before)
        assert (found.base, found.rule) == (before, Rule.BEFORE)
        assert git(clone.folder, "cat-file", "-t", before) == "commit"

    def test_a_commit_before_that_is_gone(self, remote: Remote, checkout: MakeCheckout, depth: int) -> None:
        clone = checkout(remote.tip(), ref="refs/remotes/origin/main", depth=depth)
        found = clone.resolve(CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=MISSING)
        assert found.rule is Rule.PARENT
        assert any(MISSING in line and "next rule" in line for line in clone.said)

    def test_a_manual_pipeline_of_the_default_branch(
        self, remote: Remote, checkout: MakeCheckout, depth: int
    ) -> None:
        green = remote.parent(remote.tip(), 7)
        asked = []

        def last_green(branch: str) -> str:
            asked.append(branch)
            return green

        clone = checkout(remote.tip(), ref="refs/remotes/origin/main", depth=depth)
        found = clone.resolve(last_green=last_green, CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=ZEROS)
        assert (found.base, found.rule, asked) == (green, Rule.LAST_GREEN, ["main"])

    def test_a_commit_that_is_green_already_is_not_empty(
        self, remote: Remote, checkout: MakeCheckout, depth: int
    ) -> None:
        head = remote.tip()
        clone = checkout(head, ref="refs/remotes/origin/main", depth=depth)
        found = clone.resolve(last_green=lambda _branch: head, CI_COMMIT_BRANCH="main")
        assert (found.base, found.rule) == (remote.parent(head), Rule.PARENT)

    def test_a_tag(self, remote: Remote, checkout: MakeCheckout, depth: int) -> None:
        green = remote.parent(remote.tip(), 2)
        clone = checkout(remote.tip(), ref="refs/tags/v1", depth=depth)
        found = clone.resolve(
            last_green=lambda _branch: green, CI_COMMIT_TAG="v1", CI_COMMIT_BEFORE_SHA=ZEROS
        )
        assert (found.base, found.rule) == (green, Rule.LAST_GREEN)

    def test_the_very_first_commit(self, remote: Remote, checkout: MakeCheckout, depth: int) -> None:
        first = remote.parent(remote.tip(), 29)
        git(remote.folder, "reset", "-q", "--hard", first)
        clone = checkout(first, ref="refs/remotes/origin/main", depth=depth)
        found = clone.resolve(CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=ZEROS)
        assert found.rule is Rule.EMPTY_TREE
        assert git(clone.folder, "cat-file", "-t", found.base) == "tree"
        assert "first commit" in found.reason


class TestGiven:
    def test_a_base_that_somebody_set_goes_first(self, remote: Remote, checkout: MakeCheckout) -> None:
        wanted = remote.parent(remote.tip(), 3)
        clone = checkout(remote.tip(), ref="refs/remotes/origin/main")
        found = clone.resolve(
            base=wanted, CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=remote.parent("HEAD")
        )
        assert (found.base, found.rule) == (wanted, Rule.GIVEN)

    def test_it_may_be_a_branch(self, remote: Remote, checkout: MakeCheckout) -> None:
        main = remote.tip()
        clone = checkout(remote.commit("feature", 2), ref="refs/remotes/origin/feature")
        assert clone.resolve(base="main").base == main

    def test_it_may_be_named_as_a_desk_names_it(self, remote: Remote, checkout: MakeCheckout) -> None:
        head = remote.commit("feature")
        clone = checkout(head, ref="refs/remotes/origin/feature")
        base = clone.resolve(base="origin/main", CI_COMMIT_BRANCH="feature")
        assert (base.base, base.rule) == (remote.parent(head), Rule.GIVEN)

    def test_it_may_be_the_empty_tree_as_this_command_says_it(
        self, remote: Remote, checkout: MakeCheckout
    ) -> None:
        clone = checkout(remote.commit("feature"), ref="refs/remotes/origin/feature")
        empty = git(clone.folder, "hash-object", "-t", "tree", "/dev/null")
        base = clone.resolve(base=empty, CI_COMMIT_BRANCH="feature")
        assert (base.base, base.rule, clone.said) == (empty, Rule.GIVEN, [])

    @pytest.mark.parametrize("base", [ZEROS, MISSING, "no-such-branch", "--upload-pack=touch pwned"])
    def test_one_that_is_none_is_passed_over(
        self, remote: Remote, checkout: MakeCheckout, tmp_path: Path, base: str
    ) -> None:
        clone = checkout(remote.tip(), ref="refs/remotes/origin/main")
        assert clone.resolve(base=base, CI_COMMIT_BRANCH="main").rule is Rule.PARENT
        assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("name", ["CI_COMMIT_BEFORE_SHA", "CI_MERGE_REQUEST_DIFF_BASE_SHA"])
def test_nothing_but_a_commits_id_reaches_git_as_an_argument(
    remote: Remote, checkout: MakeCheckout, tmp_path: Path, name: str
) -> None:
    clone = checkout(remote.tip(), ref="refs/remotes/origin/main")
    variables = {"CI_MERGE_REQUEST_IID": "1", "CI_COMMIT_BRANCH": "main", name: "--upload-pack=touch pwned;"}
    clone.resolve(variables)
    assert not list(tmp_path.rglob("pwned*"))
    assert any("is not the id of a commit" in line for line in clone.said)


class TestTheRemote:
    def test_the_default_branch_moved_on_by_force_since(self, remote: Remote, checkout: MakeCheckout) -> None:
        before = remote.tip()
        head = remote.commit("main", 1)
        clone = checkout(head, ref="refs/remotes/origin/main")
        git(remote.folder, "reset", "-q", "--hard", remote.parent(before, 9))
        remote.commit("main", 1)
        found = clone.resolve(CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=before)
        assert (found.base, found.rule) == (before, Rule.BEFORE)

    def test_no_more_is_fetched_than_needed(self, remote: Remote, checkout: MakeCheckout) -> None:
        before = remote.commit("main", 300)
        head = remote.commit("main", 2)
        clone = checkout(head, ref="refs/remotes/origin/main")
        assert clone.resolve(CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=before).base == before
        assert int(git(clone.folder, "rev-list", "--count", "HEAD")) < 150

    def test_a_remote_that_is_gone_makes_everything_count(
        self, remote: Remote, checkout: MakeCheckout
    ) -> None:
        clone = checkout(remote.tip(), ref="refs/remotes/origin/main")
        remote.folder.rename(remote.folder.with_name("elsewhere"))
        found = clone.resolve(CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=MISSING)
        assert found.rule is Rule.EMPTY_TREE, "the parent exists, so it is not known to be the only change"
        assert "everything counts" in found.reason

    @pytest.mark.parametrize("depth", [20, 0])
    def test_so_it_does_in_a_clone_that_has_the_commit_before(
        self, remote: Remote, checkout: MakeCheckout, depth: int
    ) -> None:
        clone = checkout(remote.commit("feature", 3), depth=depth, ref="refs/remotes/origin/feature")
        git(clone.folder, "update-ref", "-d", "refs/remotes/origin/main")
        remote.folder.rename(remote.folder.with_name("elsewhere"))
        found = clone.resolve(CI_COMMIT_BRANCH="feature", CI_COMMIT_BEFORE_SHA=ZEROS)
        assert found.rule is Rule.EMPTY_TREE, "two more commits came with this one"
        assert "the remote did not answer for branch main; trying the next rule" in clone.said
        assert "there is no branch main on the remote" not in clone.said

    def test_no_time_left_makes_everything_count(self, remote: Remote, checkout: MakeCheckout) -> None:
        clone = checkout(remote.tip(), ref="refs/remotes/origin/main")
        before = remote.parent(remote.tip())
        found = clone.resolve(fetch_timeout_s=0, CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=before)
        assert found.rule is Rule.EMPTY_TREE
        assert any("no time is left" in line for line in clone.said)

    def test_gitlabs_own_address_is_used_where_origin_cannot_be(
        self, remote: Remote, checkout: MakeCheckout
    ) -> None:
        before = remote.parent(remote.tip())
        clone = checkout(remote.tip(), ref="refs/remotes/origin/main")
        git(clone.folder, "remote", "set-url", "origin", "file:///nowhere")
        found = clone.resolve(
            CI_COMMIT_BRANCH="main",
            CI_COMMIT_BEFORE_SHA=before,
            CI_REPOSITORY_URL=remote.folder.as_uri(),
        )
        assert found.base == before

    def test_no_credential_is_said(self, remote: Remote, checkout: MakeCheckout) -> None:
        clone = checkout(remote.tip(), ref="refs/remotes/origin/main")
        address = "http://gitlab-ci-token:job-secret@127.0.0.1:9/group/project.git"
        git(clone.folder, "remote", "set-url", "origin", address)
        clone.resolve(CI_COMMIT_BRANCH="main", CI_COMMIT_BEFORE_SHA=MISSING, CI_REPOSITORY_URL=address)
        assert clone.said
        assert "job-secret" not in "\n".join(clone.said)

    def test_the_checkout_stays_as_it_is(self, remote: Remote, checkout: MakeCheckout) -> None:
        head = remote.commit("feature", 3)
        clone = checkout(head, ref="refs/remotes/origin/feature")

        def state() -> list[str]:
            texts = [git(clone.folder, *command) for command in (["for-each-ref"], ["status", "--porcelain"])]
            return [*texts, clone.head(), (clone.folder / ".git" / "FETCH_HEAD").read_text()]

        before = state()
        clone.resolve(merge_request())
        assert state() == before

    def test_a_complete_clone_stays_complete(self, remote: Remote, checkout: MakeCheckout) -> None:
        head = remote.commit("feature", 3)
        clone = checkout(head, ref="refs/remotes/origin/feature", depth=0)
        git(remote.folder, "checkout", "-q", "main")
        remote.commit("main", 100)
        clone.resolve(merge_request())
        assert git(clone.folder, "rev-parse", "--is-shallow-repository") == "false"


class TestHead:
    def test_it_is_the_pipelines_commit_whatever_is_checked_out(
        self, remote: Remote, checkout: MakeCheckout
    ) -> None:
        clone = checkout(remote.tip(), ref="refs/remotes/origin/main", depth=0)
        older = remote.parent(remote.tip(), 2)
        found = clone.resolve(CI_COMMIT_SHA=older, CI_COMMIT_BRANCH="main")
        assert (found.head, found.base) == (older, remote.parent(older))

    def test_one_that_cannot_be_had_is_an_error(self, remote: Remote, checkout: MakeCheckout) -> None:
        clone = checkout(remote.tip(), ref="refs/remotes/origin/main")
        with pytest.raises(NotACheckoutError, match=MISSING):
            clone.resolve(CI_COMMIT_SHA=MISSING)

    def test_a_desk_compares_with_the_commit_before(self, remote: Remote, checkout: MakeCheckout) -> None:
        clone = checkout(remote.tip(), ref="refs/remotes/origin/main", depth=0)
        found = clone.resolve(CI_COMMIT_SHA="", CI_DEFAULT_BRANCH="")
        assert (found.head, found.base) == (remote.tip(), remote.parent(remote.tip()))
