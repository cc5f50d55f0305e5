"""The page with the hour slider, in a browser without a network: its pixels are the basis's."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from wxjax.systems.tod import basis as bases
from wxjax.systems.tod import page as day

CHROMIUM = shutil.which("chromium")
PROBE = """
<script>
addEventListener("load", async () => {
  while (document.documentElement.dataset.ready !== "yes")
    await new Promise((done) => setTimeout(done, 10));
  const canvas = document.querySelector("canvas"), range = document.querySelector("input");
  const read = (hour) => {
    range.value = hour;
    range.dispatchEvent(new Event("input", { bubbles: true }));
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return { hour: Number(range.value), clock: document.querySelector("output").textContent,
             data: [...data] };
  };
  const out = document.createElement("pre");
  out.id = "probe";
  const seen = [0, 6, 9, 21].map(read);
  document.querySelector("button").click();
  await new Promise((done) => setTimeout(done, 300));
  const moved = Number(range.value);
  document.querySelector("button").click();
  const label = range.getAttribute("aria-label");
  out.textContent = JSON.stringify({ seen, moved, label });
  document.body.append(out);
});
</script></body>"""


@pytest.fixture(scope="module")
def basis():
    rng = np.random.default_rng(0)
    frames = rng.uniform(size=(4, 6, 10, 3)).astype(np.float32)
    return bases.fit(frames, np.array([0.0, 6.0, 12.0, 18.0]), 3, 24.0)


def test_the_page_asks_for_nothing_but_itself(basis):
    text = day.document(basis, "A <day>", "8 bits")
    assert "<title>A &lt;day&gt;</title>" in text
    bare = re.sub(r'"codes": "[\w+/=]+"', "", text)
    assert not re.search(r"https?:|file:|url\(|@import|fetch\(|XMLHttp|src=", bare)


def test_the_slider_paints_what_the_basis_says(basis, tmp_path):
    if not CHROMIUM:
        pytest.skip("no chromium on the PATH: the page was not tried in a browser")
    page = day.document(basis, "The day").replace("</body>", PROBE)
    (tmp_path / "day.html").write_text(page, "utf-8")
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=520,900",
        "--virtual-time-budget=5000", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{tmp_path / 'day.html'}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    probed = json.loads(html.unescape(found[1]))
    for seen in probed["seen"]:
        shown = np.array(seen["data"]).reshape(6, 10, 4)
        expected = np.clip(basis(float(seen["hour"])) * 255, 0, 255)
        assert np.abs(shown[..., :3] - expected).max() <= 0.51
        assert (shown[..., 3] == 255).all()
    assert [seen["clock"] for seen in probed["seen"]] == ["00:00", "06:00", "09:00", "21:00"]
    assert probed["moved"] != 21 and probed["label"] == "Hour of the day"
