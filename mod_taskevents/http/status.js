// The page looks again by itself while somebody looks at it: the same page is
// fetched, and its <main> takes the place of the one that is shown. Without a
// script a <meta> does it.
(function () {
    "use strict";
    var live = document.getElementById("live");
    var seconds = live ? Number(live.dataset.refresh) : 0;
    var paused = false, timer, button;
    if (!seconds) {
        return;
    }
    function busy() {
        var at = document.activeElement;
        var main = document.getElementById("main");
        return paused || document.hidden || String(getSelection()) !== ""
            || (at && main.contains(at) && at.matches("input, select, button, summary"));
    }
    function opened() {
        return Array.from(document.querySelectorAll("details")).map(function (d) {
            return d.open;
        });
    }
    function show(text) {
        var page = new DOMParser().parseFromString(text, "text/html");
        var main = page.getElementById("main"), time = page.querySelector("#live time");
        var open = opened();
        if (!main || !time || busy()) {
            return;
        }
        document.getElementById("main").replaceWith(document.adoptNode(main));
        document.querySelectorAll("details").forEach(function (d, i) {
            d.open = Boolean(open[i]);
        });
        live.querySelector("time").replaceWith(document.adoptNode(time));
        live.classList.remove("stale");
    }
    function look() {
        if (busy()) {
            return again();
        }
        fetch(location.href, {headers: {Accept: "text/html"}, cache: "no-store", credentials: "same-origin"})
            .then(function (answer) {
                if (!answer.ok) {
                    throw new Error(answer.status);
                }
                return answer.text();
            })
            .then(show)
            .catch(function () {
                live.classList.add("stale");
            })
            .then(again);
    }
    function again() {
        clearTimeout(timer);
        timer = setTimeout(look, seconds * 1000);
    }
    button = document.createElement("button");
    button.type = "button";
    function label() {
        button.textContent = paused ? "Resume" : "Pause";
        button.setAttribute("aria-pressed", String(paused));
        live.classList.toggle("paused", paused);
    }
    button.addEventListener("click", function () {
        paused = !paused;
        label();
    });
    label();
    live.append(button);
    document.addEventListener("visibilitychange", function () {
        if (!document.hidden) {
            look();
        }
    });
    again();
}());
