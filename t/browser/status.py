#!/usr/bin/env python3
"""The status page as a person meets it, in headless Chromium.

Needs the service that TASKEVENTS_STATUS_URL names, with the local transport,
and its database, TASKEVENTS_DSN; chromium and chromedriver; psql. Pictures of
all pages are kept in TASKEVENTS_SCREENSHOTS, when that is set, to be looked
at."""
import http.server
import json
import os
import pathlib
import struct
import subprocess
import sys
import threading
import unittest
import uuid
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from webdriver import Browser, Driver, eventually  # noqa: E402

STATUS = os.environ["TASKEVENTS_STATUS_URL"]
LETTERS = f"{STATUS}/dead-letters"
EVIL = "</pre><script>document.title = 'taken'</script>\" onclick='x' \u202ecba"
driver = None


def sql(text):
    return subprocess.run(
        ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d",
         os.environ["TASKEVENTS_DSN"], "-c", text],
        check=True, capture_output=True, text=True).stdout.strip()


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def letter(reason="the sidecar gave it up after its retries", user="browser"):
    """An event that can be handled, kept as a dead letter: its id."""
    event = str(uuid.uuid4())
    body = json.dumps({
        "specversion": "1.0", "id": event, "source": "/taskevents",
        "type": "task.deleted", "time": "2026-01-01T00:00:00.000000Z",
        "sequence": "00000000000000000007",
        "data": {"user_id": "browser", "task_id": 1, "title": EVIL}})
    return sql(
        "INSERT INTO taskevents.dead_letters (stage, source, event_id, topic,"
        " user_id, body, body_size, reason, attempts, first_failed_at,"
        " last_failed_at) SELECT 'deadletter', '/taskevents',"
        f" {quoted(event)}, 'tasks', {quoted(user)}, b, octet_length(b),"
        f" {quoted(reason)}, 4, now(), now()"
        f" FROM (SELECT convert_to({quoted(body)}, 'UTF8') AS b) x"
        " RETURNING id")


def state(number):
    return sql("SELECT concat_ws(' ', state, note, closed_by) FROM"
               f" taskevents.dead_letters WHERE id = {number}")


class Picture:
    """A PNG of 8 bits a channel, as Chromium makes it."""

    def __init__(self, data):
        at, packed = 8, b""
        while at < len(data):
            size, kind = struct.unpack(">I4s", data[at:at + 8])
            chunk = data[at + 8:at + 8 + size]
            if kind == b"IHDR":
                self.width, self.height, depth, colour = struct.unpack(
                    ">IIBB", chunk[:10])
                assert depth == 8 and colour in (2, 6)
                self.channels = 3 if colour == 2 else 4
            elif kind == b"IDAT":
                packed += chunk
            at += size + 12
        self.rows = self.unfiltered(zlib.decompress(packed))

    def unfiltered(self, raw):
        n, rows = self.channels, []
        size = self.width * n
        above = bytearray(size)
        for y in range(self.height):
            kind = raw[y * (size + 1)]
            row = bytearray(raw[y * (size + 1) + 1:(y + 1) * (size + 1)])
            if kind:
                self.undo(kind, row, above, n)
            rows.append(row)
            above = row
        return rows

    @staticmethod
    def undo(kind, row, above, n):
        for i in range(len(row)):
            a = row[i - n] if i >= n else 0
            b, c = above[i], above[i - n] if i >= n else 0
            if kind == 1:
                guess = a
            elif kind == 2:
                guess = b
            elif kind == 3:
                guess = (a + b) // 2
            else:
                p = a + b - c
                guess = min((a, b, c), key=lambda v, p=p: abs(p - v))
            row[i] = (row[i] + guess) & 255

    def colours(self):
        """How often each colour is there, in every fourth row."""
        counts = {}
        for row in self.rows[::4]:
            for i in range(0, len(row), self.channels):
                colour = (row[i], row[i + 1], row[i + 2])
                counts[colour] = counts.get(colour, 0) + 1
        return counts

    def brightness(self):
        """Of most of it, from 0 to 255."""
        colours = self.colours()
        return sum(max(colours, key=colours.get)) / 3


class StatusPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sql("DELETE FROM taskevents.dead_letters")
        cls.scripted = Browser(driver)
        cls.addClassCleanup(cls.scripted.close)
        cls.plain = Browser(driver, script=False)
        cls.addClassCleanup(cls.plain.close)

    def setUp(self):
        self.scripted.complaints()
        self.addCleanup(self.scripted.like)

    def open_count(self, browser):
        return int(browser.text("#open").replace(",", ""))

    def test_what_it_shows_and_that_it_looks_again_by_itself(self):
        scripted, plain = self.scripted, self.plain
        for browser in (scripted, plain):
            browser.open(STATUS)
            self.assertEqual(browser.title, "Overview · Task events")
            self.assertEqual(len(browser.all("figure svg")), 6)
            self.assertEqual(len(browser.all("h1")), 1)
            for word in ("Transport", "breaker closed", "Outbox",
                         "Dead letters", "Reminders due", "Pool",
                         "Processes of this httpd", "Versions"):
                self.assertIn(word, browser.text())
        self.assertEqual(scripted.text("#live button"), "Pause")
        self.assertFalse(plain.has("#live button"))
        before = self.open_count(scripted)
        number = letter()
        for browser in (scripted, plain):
            eventually("the new letter is counted",
                       lambda b=browser: self.open_count(b) == before + 1)
        self.assertIn("the sidecar gave it up", scripted.text())
        sql(f"DELETE FROM taskevents.dead_letters WHERE id = {number}")
        self.assertEqual(scripted.complaints(), [])

    def work_with_letters(self, browser):
        redriven, discarded = letter(), letter()
        browser.open(STATUS)
        browser.one("#open").click()
        eventually("the list", lambda: "/dead-letters" in browser.url)
        browser.one(f'a[href$="/dead-letters/{redriven}"]').click()
        payload = browser.text("#payload")
        self.assertIn('"type": "task.deleted"', payload)
        self.assertIn("</pre><script>document.title = 'taken'</script>",
                      payload)
        self.assertIn("\\u202ecba", payload)
        self.assertEqual(browser.title,
                         f"Dead letter {redriven} · Task events")
        browser.one("#redrive").click()
        eventually("the letter is redriven",
                   lambda: "The letter is redriven" in browser.text("main"))
        self.assertEqual(state(redriven), "redriven handled 127.0.0.1")
        self.assertFalse(browser.has("form[method=post]"))

        browser.open(f"{LETTERS}/{discarded}")
        browser.one("#discard summary").click()
        browser.one("#discard button").click()
        eventually("the letter is discarded",
                   lambda: "The letter is discarded" in browser.text("main"))
        self.assertEqual(state(discarded), "discarded discarded 127.0.0.1")
        self.assertEqual(browser.complaints(), [])

    def test_a_letter_is_read_and_redriven_and_another_discarded(self):
        self.work_with_letters(self.scripted)

    def test_the_same_without_javascript(self):
        self.work_with_letters(self.plain)

    def test_many_are_found_and_redriven_together(self):
        numbers = [letter(reason="the same reason") for _ in range(3)]
        other = letter(reason="another reason")
        browser = self.scripted
        browser.open(LETTERS)
        browser.one("input[name=reason]").type("the same reason")
        browser.one("select[name=state] option:nth-child(2)").click()
        browser.one(".filter button").click()
        eventually("the list is filtered",
                   lambda: len(browser.all("tbody tr")) == 3)
        browser.one(".acts button").click()
        eventually("they are redriven",
                   lambda: "3 redriven" in browser.text("h1"))
        for number in numbers:
            self.assertEqual(state(number), "redriven handled 127.0.0.1")
        self.assertEqual(state(other), "open")

    def test_light_and_dark(self):
        browser = self.scripted
        letter()
        for dark in (False, True):
            name = "dark" if dark else "light"
            browser.like(dark=dark)
            for page in ("", "/dead-letters",
                         f"/dead-letters/{letter(reason=EVIL)}"):
                browser.open(STATUS + page)
                browser.keep(f"{name}{page.replace('/', '-')}")
                picture = Picture(browser.picture(700, 300))
                bright = picture.brightness()
                self.assertTrue(bright < 40 if dark else bright > 215,
                                f"{name} is {bright}")
                self.assertGreater(len(picture.colours()), 20)
            self.assertEqual(browser.complaints(), [])

    def test_a_phone_needs_no_scrolling_sideways(self):
        number = letter(reason="x" * 300, user="u" * 128)
        browser = self.scripted
        browser.like(phone=360)
        for page in ("", "/dead-letters?state=open",
                     f"/dead-letters/{number}", "/dead-letters/0"):
            browser.open(STATUS + page)
            browser.keep("phone" + page.split("?")[0].replace("/", "-"))
            wide, room = browser.run(
                "return [document.documentElement.scrollWidth,"
                " document.documentElement.clientWidth]")
            self.assertLessEqual(wide, room, page)
            small = browser.run(
                "return Array.from(document.querySelectorAll('td, dd, li'))"
                ".filter(e => e.scrollWidth > e.clientWidth + 1).length")
            self.assertEqual(small, 0, f"{page}: text is cut off")
        sql(f"DELETE FROM taskevents.dead_letters WHERE id = {number}")

    def test_a_page_of_somebody_else_can_do_nothing(self):
        number = letter()
        with Stranger(number) as stranger:
            browser = self.scripted
            browser.open(f"{stranger.url}/form")
            browser.one("button").click()
            eventually("the answer", lambda: browser.url.startswith(STATUS))
            self.assertIn("another origin", browser.text("main"))
            self.assertEqual(state(number), "open")
            browser.open(f"{stranger.url}/frame")
            eventually("the frame is refused", lambda: any(
                "frame" in line.lower() for line in browser.complaints()))


class Stranger:
    """A web site on another port of this machine, the nearest that a foreign
    page can be."""

    def __init__(self, number):
        pages = {
            "/form": f'<form method="post" action="{LETTERS}/{number}/discard'
                     '"><button>Win a prize</button></form>',
            "/frame": f'<iframe src="{STATUS}?format=html"></iframe>',
        }

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = pages.get(self.path, "").encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


if __name__ == "__main__":
    with Driver() as driver:
        unittest.main(verbosity=2, exit=True)
