"""Refs as text: what claude may have written there leads nowhere outside."""

from __future__ import annotations

from pathlib import Path

from agent.artifacts.refs import read_left, read_refs, read_stashes, submodule_directory

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
WHO = "C <c@example.com> 1700000000 +0000"


def test_loose_refs_win_over_packed_ones(tmp_path: Path) -> None:
    (tmp_path / "refs" / "heads" / "deep").mkdir(parents=True)
    (tmp_path / "packed-refs").write_text(f"# pack-refs\n{A} refs/heads/x\n{B} refs/tags/v1\n^{C}\n{C} HEAD\n")
    (tmp_path / "refs" / "heads" / "x").write_text(f"{C}\n")
    (tmp_path / "refs" / "heads" / "deep" / "y").write_text(f"{A}\n")
    (tmp_path / "refs" / "heads" / "symbolic").write_text("ref: refs/heads/x\n")
    assert read_refs(tmp_path, 1000) == {"refs/heads/x": C, "refs/tags/v1": B, "refs/heads/deep/y": A}


def test_a_link_among_refs_is_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "git"
    (inside / "refs" / "heads").mkdir(parents=True)
    outside.mkdir()
    (outside / "x").write_text(A)
    (inside / "refs" / "heads" / "directory").symlink_to(outside)
    (inside / "refs" / "heads" / "file").symlink_to(outside / "x")
    assert read_refs(inside, 1000) == {}


def test_stashes_and_what_was_left(tmp_path: Path) -> None:
    (tmp_path / "logs" / "refs").mkdir(parents=True)
    (tmp_path / "logs" / "refs" / "stash").write_text(f"{A} {B} {WHO}\tWIP\n{B} {C} {WHO}\tWIP\nnonsense\n")
    (tmp_path / "logs" / "HEAD").write_text(
        f"{A} {B} {WHO}\tcheckout: moving from main to fix\n{B} {C} {WHO}\tcheckout: moving from {B} to main\n"
        f"{B} {C} {WHO}\tcommit: checkout: moving from {A} to main\n"
    )
    assert read_stashes(tmp_path, 1000) == [C, B]
    assert read_left(tmp_path, 1000) == [B]
    assert (read_stashes(tmp_path / "none", 1000), read_left(tmp_path / "none", 1000)) == ([], [])


def test_a_submodule_s_directory_lies_in_the_workspace(tmp_path: Path) -> None:
    place = tmp_path / "work" / "lib"
    (tmp_path / "work" / ".git" / "modules" / "lib").mkdir(parents=True)
    place.mkdir()
    (place / ".git").write_text("gitdir: ../.git/modules/lib\n")
    assert submodule_directory(place, tmp_path / "work", 1000) == tmp_path / "work" / ".git" / "modules" / "lib"
    (place / ".git").write_text(f"gitdir: {tmp_path}\n")
    assert submodule_directory(place, tmp_path / "work", 1000) is None
