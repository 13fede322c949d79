// Refreshes a page: fetches it again and replaces the parts that changed. Pages and forms work
// without this script too.
"use strict";
(() => {
  const seconds = Number(document.body.dataset.refresh);
  if (!seconds) return;
  const freshness = document.getElementById("freshness");
  let failures = 0;

  const parts = (page) => [...page.querySelectorAll("[data-live][id]")].map((each) => each.id).join();
  const busy = (part) => part.contains(document.activeElement);

  function put(fresh) {
    for (const part of document.querySelectorAll("[data-live][id]")) {
      const next = fresh.getElementById(part.id);
      if (next && part.innerHTML !== next.innerHTML && !busy(part)) {
        const open = [...part.querySelectorAll("details[open][id]")].map((each) => each.id);
        part.replaceChildren(...next.cloneNode(true).childNodes);
        for (const id of open) document.getElementById(id)?.setAttribute("open", "");
        part.className = next.className;
      }
    }
    // A crawl that has ended needs no further look.
    return Number(fresh.body.dataset.refresh);
  }

  // Nothing on the page is true any more, and no button works: say so where it is seen.
  function ended() {
    const told = document.createElement("p");
    told.className = "said bad";
    told.setAttribute("role", "alert");
    const link = document.createElement("a");
    link.href = "/login?next=" + encodeURIComponent(location.pathname);
    link.textContent = "Log in again";
    told.append("Your session has ended; what is shown stays as it was. ", link);
    document.getElementById("main").prepend(told);
  }

  async function look() {
    let wait = seconds;
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { credentials: "same-origin", redirect: "manual" });
        if (answer.type === "opaqueredirect") return ended();
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        // A server that is away is told by a page too, with status 503; other errors tell nothing.
        const tells = answer.status === 503 && fresh.getElementById("verdict") && fresh.body.dataset.refresh;
        if (!answer.ok && !tells) throw new Error(String(answer.status));
        // Another page than this one: a server is back, or the first store is here.
        if (answer.ok && parts(fresh) !== parts(document)) return location.reload();
        wait = put(fresh);
        failures = 0;
        // Without the server only the verdict is of now; the rest is as it was.
        const told = fresh.getElementById("freshness");
        if (answer.ok && freshness && told) freshness.textContent = told.textContent;
        freshness?.classList.remove("trouble");
        if (!wait) return;
      } catch {
        failures += 1;
        freshness?.classList.add("trouble");
        if (freshness && failures === 2) freshness.textContent += " It could not be refreshed since.";
        wait = Math.min(seconds * 2 ** failures, 60);
      }
    }
    setTimeout(look, wait * 1000);
  }
  setTimeout(look, seconds * 1000);
})();
