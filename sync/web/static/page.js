// Refreshes a page: fetches it again and replaces the parts that changed. Pages and forms work
// without this script too.
"use strict";
(() => {
  const seconds = Number(document.body.dataset.refresh);
  if (!seconds) return;
  const freshness = document.getElementById("freshness");
  let failures = 0;

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
    const told = fresh.getElementById("freshness");
    if (freshness && told) freshness.textContent = told.textContent;
    // A crawl that has ended needs no further look.
    return Number(fresh.body.dataset.refresh);
  }

  async function look() {
    let wait = seconds;
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
        if (!answer.ok) throw new Error(String(answer.status));
        wait = put(new DOMParser().parseFromString(await answer.text(), "text/html"));
        failures = 0;
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
