"""A browser by chromedriver's own protocol (W3C WebDriver), with nothing but
Python's library: what these tests need of it."""
import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
PATIENCE = 90


class Failed(Exception):
    pass


def call(url, method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        value = json.load(error)["value"]
        raise Failed(f"{value['error']}: {value['message']}") from None


def eventually(what, check):
    """Waits until check is true and returns that; slow machines are slow."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            value = check()
            if value:
                return value
        except Failed as error:
            value = error
        if time.monotonic() > until:
            raise AssertionError(f"{what}: {value!r} after {PATIENCE} s")
        time.sleep(0.05)


class Driver:
    """chromedriver on a port that it chooses, ended with the block."""

    def __enter__(self):
        program = shutil.which("chromedriver") or "/usr/bin/chromedriver"
        self.process = subprocess.Popen(
            [program, "--port=0"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            port = re.search(r"started successfully on port (\d+)", line)
            if port:
                self.url = f"http://127.0.0.1:{port[1]}"
                return self
        raise SystemExit("chromedriver did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)


class Browser:
    """One browser of its own, with a fresh profile."""

    def __init__(self, driver, script=True):
        arguments = [
            "--headless=new", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking",
            "--disable-extensions", "--window-size=1280,900",
            # root and containers have none, and the pages are our own
            "--no-sandbox"]
        options = {"args": arguments, "prefs": {}}
        if not script:
            options["prefs"][
                "profile.managed_default_content_settings.javascript"] = 2
        session = call(f"{driver.url}/session", "POST", {"capabilities": {
            "alwaysMatch": {"browserName": "chrome",
                            "goog:chromeOptions": options,
                            "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.at = f"{driver.url}/session/{session['sessionId']}"
        self.like()

    def like(self, dark=False, phone=None):
        """From now on as with these preferences, on a screen of this width."""
        self.command("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme",
             "value": "dark" if dark else "light"}])
        if phone:
            self.command("Emulation.setDeviceMetricsOverride", width=phone,
                         height=2 * phone, deviceScaleFactor=2, mobile=True)
        else:
            self.command("Emulation.clearDeviceMetricsOverride")

    def close(self):
        call(self.at, "DELETE")

    def command(self, name, **params):
        """Chromium's own protocol."""
        return call(f"{self.at}/goog/cdp/execute", "POST",
                    {"cmd": name, "params": params})

    def post(self, path, **body):
        return call(f"{self.at}/{path}", "POST", body)

    def open(self, url):
        self.post("url", url=url)

    @property
    def url(self):
        return call(f"{self.at}/url")

    @property
    def title(self):
        return call(f"{self.at}/title")

    def all(self, css):
        found = self.post("elements", using="css selector", value=css)
        return [Element(self, one[ELEMENT]) for one in found]

    def one(self, css):
        return eventually(css, lambda: self.all(css))[0]

    def has(self, css):
        return bool(self.all(css))

    def text(self, css="body"):
        """Of what there is when it is asked: a page that looks again by itself
        may take away what was just found."""
        return eventually(css, lambda: [one.text for one in
                                        self.all(css)[:1]])[0]

    def run(self, script, *args):
        """JavaScript of the test's own, also where the page may have none."""
        return self.post("execute/sync", script=script, args=list(args))

    def complaints(self):
        """What the browser's console has to say since the last time."""
        return [entry["message"] for entry in
                self.post("se/log", type="browser")
                if entry["level"] in ("SEVERE", "WARNING")]

    def keep(self, name):
        """The whole page as NAME.png, where the tests are told to."""
        folder = os.environ.get("TASKEVENTS_SCREENSHOTS")
        if folder:
            size = self.command("Page.getLayoutMetrics")["cssContentSize"]
            os.makedirs(folder, exist_ok=True)
            with open(f"{folder}/{name}.png", "wb") as file:
                file.write(self.picture(size["width"],
                                        min(size["height"], 6000)))

    def picture(self, width, height):
        """PNG of the page's upper left part."""
        return base64.b64decode(self.command(
            "Page.captureScreenshot", format="png",
            captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": width, "height": height,
                  "scale": 1})["data"])


class Element:
    def __init__(self, browser, number):
        self.browser = browser
        self.path = f"element/{number}"

    def get(self, what):
        return call(f"{self.browser.at}/{self.path}/{what}")

    @property
    def text(self):
        return self.get("text")

    def attribute(self, name):
        return self.get(f"attribute/{name}")

    def css(self, name):
        return self.get(f"css/{name}")

    def click(self):
        self.browser.post(f"{self.path}/click")

    def type(self, text):
        self.browser.post(f"{self.path}/value", text=text)
