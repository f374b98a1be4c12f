"""A page in a real browser without a window: what its script gives, and that nothing complains."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser() -> str:
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    return found


def _run(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}", *options, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not said, f"the page complains: {said}"
    return done


def open_page(path: Path, script: str, size: str = "1200,900") -> Any:
    """What a script that runs in the page returns. Any message on the console is a failure."""
    page = path.with_name(f"{path.stem}-tested.html")
    probe = f"""<script>
    window.addEventListener("load", () => {{
      let found;
      try {{ found = (() => {{ {script} }})(); }} catch (e) {{ found = {{error: String(e)}}; }}
      const out = document.createElement("pre");
      out.id = "found";
      out.textContent = JSON.stringify(found);
      document.body.appendChild(out);
    }});
    </script>"""
    text = path.read_text("utf-8")
    assert "</body>" in text
    page.write_text(text.replace("</body>", f"{probe}</body>"), "utf-8")
    done = _run(page, path.parent / "profile", f"--window-size={size}", "--dump-dom")
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert found, f"the script did not run: {done.stderr[-500:]}"
    result = json.loads(html.unescape(found.group(1)))
    assert not (isinstance(result, dict) and "error" in result), result
    return result


def screenshot(path: Path, picture: Path, size: str = "1200,900") -> None:
    """A picture of the page."""
    _run(path, picture.parent / "profile", f"--window-size={size}", f"--screenshot={picture}")
    assert os.path.getsize(picture) > 1000
