"""Names in composed and decomposed form are one name, in lists and on disk."""

import unicodedata

from PIL import Image

from wxjax.data import clips, names, sources
from wxjax.systems.tod.data import day


def composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), "red").save(path)
    return path


def test_a_listed_name_finds_the_file_of_another_form(tmp_path):
    save(tmp_path / decomposed("Müller") / decomposed("café.png"))
    wanted = tmp_path / composed("Müller") / composed("café.png")
    assert names.on_disk(wanted).is_file()
    assert names.on_disk(tmp_path / "none.png") == tmp_path / "none.png"


def test_records_clips_and_hours_meet_files_of_another_form(tmp_path):
    save(tmp_path / decomposed("é.png"))
    row = sources.Record(id="a", dataset="d", scene_id="s", split="test",
                         path_raw=composed("é.png"), path_gt=None, degradation="haze")  # fmt: skip
    pairs = sources.Pairs([row], tmp_path)
    assert pairs[0]["image"].shape == (6, 8, 3) and pairs.items()
    for side, form in (("input", composed), ("gt", decomposed)):
        for number in range(3):
            save(tmp_path / "film" / side / form(f"é{number}.png"))
    assert len(clips._plain(tmp_path / "film")[0].targets) == 3
    save(tmp_path / "day" / decomposed("früh.png"))
    save(tmp_path / "day" / decomposed("spät.png"))
    table = f"{composed('früh')}.png,7\n{composed('spät')}.png,19\n"
    (tmp_path / "day" / "hours.csv").write_text(table, "utf-8")
    assert list(day.list_hours(tmp_path / "day", 24.0).values()) == [7, 19]
