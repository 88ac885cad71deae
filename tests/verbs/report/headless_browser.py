"""A browser for tests, driven through a pair of pipes by its own debugging protocol: no package and no network is needed."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """Where a Chromium is, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One headless Chromium with one page. What it says of errors and requests is kept."""

    def __init__(self, program: str, profile: Path, width: int = 1200, height: int = 900) -> None:
        to_read, self._to_browser = os.pipe()
        self._from_browser, to_write = os.pipe()

        def at_home() -> None:  # the browser reads its third file and writes its fourth
            os.dup2(os.dup(to_read), 103)
            os.dup2(os.dup(to_write), 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        command = [
            program,
            *options,
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
        ]
        self.process = subprocess.Popen(
            command, preexec_fn=at_home, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        os.set_blocking(self._from_browser, False)
        self._rest, self._number, self.session = b"", 0, None
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for room in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{room}.enable")

    def open(self, file: Path) -> None:
        """Open a page and forget what was said before."""
        self.errors.clear()
        self.requests.clear()
        self.ask("Page.navigate", url=file.as_uri())
        self.wait_for("document.readyState === 'complete' && document.documentElement.classList.contains('js')")

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait_for(self, condition: str, seconds: float = 20.0) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < until, f"not in {seconds} s: {condition}"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """Press and let go of a key: Tab, ArrowLeft, Enter."""
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **text)

    def point_at(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Bring an element into sight and move the mouse over it, to shares of its width and height."""
        self.run(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = f"JSON.stringify(document.querySelector({selector!r}).getBoundingClientRect())"
        place = json.loads(self.run(box))
        at = {"x": place["x"] + x * place["width"], "y": place["y"] + y * place["height"]}
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", **at)

    def click(self, selector: str) -> None:
        """Press and let go of the mouse in the middle of an element."""
        self.point_at(selector)
        place = json.loads(self.run(f"JSON.stringify(document.querySelector({selector!r}).getBoundingClientRect())"))
        at = {"x": place["x"] + place["width"] / 2, "y": place["y"] + place["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def picture(self, file: Path) -> None:
        """Write what the whole page looks like as PNG."""
        shown = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shown["data"]))

    def media(self, **features: str) -> None:
        """Let the system have preferences, such as prefers_color_scheme="dark"."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", features=listed)

    def size(self, width: int, height: int) -> None:
        """Give the page another size."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def ask(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its answer; events on the way are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next(30.0)
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]
            self._keep(said)

    def close(self) -> None:
        """End the browser and no other process."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._to_browser)
        os.close(self._from_browser)

    def _next(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while b"\0" not in self._rest:
            try:
                self._rest += os.read(self._from_browser, 1 << 20)
            except BlockingIOError:
                assert time.monotonic() < until, "the browser does not answer"
                assert self.process.poll() is None, "the browser has ended"
                time.sleep(0.005)
        whole, self._rest = self._rest.split(b"\0", 1)
        return json.loads(whole)

    def _keep(self, event: dict[str, Any]) -> None:
        kind, what = event.get("method"), event.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.errors.append(str(what["exceptionDetails"]))
        elif kind == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning"):
            self.errors.append(str(what["args"]))
        elif kind == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.errors.append(what["entry"]["text"])
        elif kind == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])
