"""A report tells what a workdir holds, names what it lacks, and its page works alone."""

import html.parser
import json
import re
import shutil
import subprocess

import pytest

from tests.report import simulated
from wxjax import errors, files
from wxjax.report import cells, evidence, figures, tables
from wxjax.report.build import build

CHROMIUM = shutil.which("chromium")
PROBE = """
<script>
addEventListener("load", () => {
  const clip = (frame) => getComputedStyle(frame.querySelector("img.over")).clipPath;
  const right = (text) => parseFloat(text.split(" ")[1]);
  const sliders = [...document.querySelectorAll(".frame")].map((frame) => {
    const range = frame.querySelector("input");
    const seen = [50, 20, 90].map((value) => {
      range.value = value;
      range.dispatchEvent(new Event("input", { bubbles: true }));
      return clip(frame);
    });
    const box = frame.getBoundingClientRect();
    const at = { clientX: box.left + box.width / 4, clientY: box.top + 9, pointerId: 1 };
    frame.setPointerCapture = () => {};
    frame.dispatchEvent(new PointerEvent("pointerdown", at));
    const choice = frame.parentElement.querySelector(".choice input[value='actual target']");
    const first = frame.querySelector("img.over").dataset.kind;
    choice.click();
    const over = frame.querySelectorAll("img.over");
    return { seen, dragged: +range.value, first, label: range.getAttribute("aria-label"),
             second: [...over].map((image) => image.dataset.kind),
             tags: [...frame.querySelectorAll(".tag")].map((tag) => tag.textContent) };
  });
  const images = [...document.images].map((image) => image.naturalWidth);
  const overflow = document.documentElement.scrollWidth - innerWidth;
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify({ sliders, images, overflow });
  document.body.append(out);
});
</script></body>"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = simulated.workdir(tmp_path_factory.mktemp("run"), per_task=6)
    build(folder)
    return folder


@pytest.fixture(scope="module")
def probed(run, tmp_path_factory):
    """What a headless browser, without a network, measures on the page."""
    if not CHROMIUM:
        pytest.skip("no chromium on the PATH: the page's sliders were not tried in a browser")
    folder = tmp_path_factory.mktemp("browser")
    page = (run / "index.html").read_text("utf-8").replace("</body>", PROBE)
    (folder / "page.html").write_text(page, "utf-8")
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=520,900",
        "--virtual-time-budget=4000", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}", "--dump-dom", f"file://{folder / 'page.html'}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


class References(html.parser.HTMLParser):
    """Everything a document would fetch or link to."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        keys = ("src", "href", "srcset", "action", "data", "poster")
        self.found += [value for key, value in attrs if key in keys]


def test_the_page_asks_for_nothing_but_itself(run):
    text = (run / "index.html").read_text("utf-8")
    references = References(text).found
    assert len(references) > 20
    assert {r.split(":")[0] if r.startswith("data:") else r[:1] for r in references} == {
        "data",
        "#",
    }
    bare = re.sub(r"data:image/\w+;base64,[\w+/=]+", "", text)
    assert not re.search(r"https?:|file:|url\(|@import|fetch\(|XMLHttp", bare)


def test_every_slider_moves_by_keyboard_value_and_by_pointer(probed):
    assert len(probed["sliders"]) == 3
    for slider in probed["sliders"]:
        clips = [float(re.search(r"([\d.]+)%", clip)[1]) for clip in slider["seen"]]
        assert clips == pytest.approx([50, 80, 10], abs=0.5)  # the part of the overlay cut off
        assert slider["dragged"] == pytest.approx(25, abs=1)
        assert slider["label"].startswith("Position of the divider on ")


def test_the_choice_swaps_the_pictures_compared(probed):
    for slider in probed["sliders"]:
        assert (slider["first"], slider["second"]) == ("input", ["actual"])
        assert slider["tags"] == ["Restored", "Truth"]


def test_every_picture_of_the_page_is_drawn_and_nothing_sticks_out(probed):
    assert len(probed["images"]) == 3 * 4 + 7
    assert all(width > 0 for width in probed["images"])
    assert probed["overflow"] <= 0


def test_the_markdown_tells_each_criterion_with_its_interval(run):
    text = (run / "report.md").read_text("utf-8")
    summary = files.read_json(run / "summary.json")
    for item in summary["criteria"]:
        line = next(line for line in text.splitlines() if line.startswith(f"| {item['name']} |"))
        assert ("**met**" if item["met"] else "**short**") in line
        if item["low"] is not None:
            assert re.search(r"\[\S+ to \S+\]", line)
    value = summary["variants"]["actual"]["macro"]["psnr"]["mean"]
    assert f"| MoE-I-Actual | **{value:.2f}" in text or f"| MoE-I-Actual | {value:.2f}" in text
    for name in ("Dense-Unified", "Expert derain", "Oracle, experts", "Apart: mixed", "1 200 000"):
        assert name in text
    for image in re.findall(r"\((figures/\w+\.png)\)", text):
        assert (run / image).stat().st_size > 5000


def test_a_figure_is_the_same_bytes_each_time(run):
    plots = figures.available(evidence.read(run))
    assert list(plots) == [
        "severity", "coverage", "misrouting", "reliability", "confusion", "cost", "training",
    ]  # fmt: skip
    _, draw, size = plots["reliability"]
    assert figures.render(draw, figures.LIGHT, size) == figures.render(draw, figures.LIGHT, size)
    assert figures.render(draw, figures.LIGHT, size) != figures.render(draw, figures.DARK, size)


def test_an_empty_workdir_gives_a_report_of_what_is_missing(tmp_path):
    build(tmp_path)
    text = (tmp_path / "report.md").read_text("utf-8")
    page = (tmp_path / "index.html").read_text("utf-8")
    for line in ("no summary.json: run wxjax evaluate", "no cost.json: run wxjax bench"):
        assert f"- {line}" in text and line in page
    assert not (tmp_path / "figures").exists()


def test_a_run_without_truth_or_experts_is_told_so(tmp_path):
    from tests.evaluate import simulated as rows
    from wxjax.evaluate import summary

    stored = [r | {"metrics": {}} for r in rows.rows(2) if r["variant"] in ("input", "actual")]
    found = summary.summarize(stored, settings={}, meta={})
    files.write_json(tmp_path / "summary.json", found)
    build(tmp_path)
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "- no truth for these images: quality was not measured, only routing" in text
    assert "| not measured |" in text and "**met**" in text
    assert "confusion" in [path.stem for path in (tmp_path / "figures").iterdir()]


def test_a_sample_whose_picture_is_gone_is_named_and_the_rest_shown(run, tmp_path):
    simulated.samples(tmp_path / "samples", 2)
    (tmp_path / "samples" / "haze_target.png").unlink()
    found = evidence.read(tmp_path)
    assert "sample haze-00: no picture haze_target.png" in found.missing
    assert [len(set(evidence.PICTURES) & set(s)) for s in found.samples] == [3, 4]


def test_a_broken_file_stops_the_report_and_leaves_the_old_one(run, tmp_path):
    build(tmp_path)
    before = (tmp_path / "report.md").read_bytes()
    (tmp_path / "cost.json").write_text("{broken")
    with pytest.raises(errors.InputError, match=r"cost\.json.*not valid JSON"):
        build(tmp_path)
    assert (tmp_path / "report.md").read_bytes() == before
    with pytest.raises(errors.InputError, match="expected a folder that a run left behind"):
        build(tmp_path / "nowhere")


def test_names_from_outside_cannot_become_markup(tmp_path):
    simulated.samples(tmp_path / "samples", 1)
    entries = files.read_json(tmp_path / "samples" / "samples.json")
    entries[0]["id"] = '"><script>alert(1)</script>'
    files.write_json(tmp_path / "samples" / "samples.json", entries)
    build(tmp_path)
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    "value, digits, text",
    [(1.005, 1, "1.0"), (-0.26, 1, "−0.3"), (-0.001, 2, "0.00"), (None, 2, "–"), (7, 2, "7.00")],
)
def test_numbers_have_fixed_digits_and_a_true_minus(value, digits, text):
    assert cells.number(value, digits) == text


def test_significant_digits_follow_the_size():
    shown = [cells.significant(x) for x in (1234.5, 23.456, 0.01234, 1.2e-5, -250.0, 0.0)]
    assert shown == ["1 234", "23.5", "0.0123", "1.2e−05", "−250", "0"]


def test_a_pipe_in_a_cell_stays_in_its_cell():
    table = cells.Table("T", ("a", "b"), [(cells.Cell("x|y"), cells.Cell("1", "0 to 2"))])
    assert r"| x\|y | 1 [0 to 2] |" in cells.markdown(table)


def test_cost_is_shown_by_whatever_names_it_has():
    first, second = tables.cost(
        {
            "device": "d",
            "cases": [{"name": "a", "size": [2, 3], "odd_one": 1.5, "flops_g": 2}],
            "free": {"x": 2},
        }
    )
    assert first.header == ("Case", "Size", "Odd one", "GFLOP")
    assert [cell.text for cell in first.rows[0]] == ["a", "2 × 3", "1.5", "2"]
    assert [cell.text for cell in second.rows[0]] == ["Free: x", "2"]
