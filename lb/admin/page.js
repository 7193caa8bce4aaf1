"use strict";
// Fetches the part of the page that changes, once a second, and changes only what differs: scroll position, selection
// and focus stay. A hidden tab asks nothing.

const every = 1000, patience = 4000; // ms
const body = document.getElementById("body"), silence = document.getElementById("silence");
let answered = new Date(), busy = false, timer;

async function refresh() {
  clearTimeout(timer);
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch("?part=body", { cache: "no-store", signal: AbortSignal.timeout(patience) });
    if (!answer.ok) throw new Error(answer.statusText);
    const text = await answer.text();
    if (answer.headers.get("X-Page") !== document.documentElement.dataset.page) return location.reload();
    // Within an element, for the parser drops the space at the start of a document.
    morphChildren(body, new DOMParser().parseFromString("<main>" + text, "text/html").body.firstElementChild);
    document.title = body.querySelector("[data-title]").dataset.title;
    heard();
  } catch {
    complain();
  }
  busy = false;
  if (!document.hidden) timer = setTimeout(refresh, every);
}

function heard() {
  answered = new Date();
  silence.hidden = true;
  silence.firstElementChild.textContent = "";
  body.classList.remove("stale");
}

// The alert is said aloud once; the seconds beside it only run.
function complain() {
  const said = `The controller has not answered since ${answered.toLocaleTimeString()}.`;
  silence.hidden = false;
  if (silence.firstElementChild.textContent !== said) silence.firstElementChild.textContent = said;
  const seconds = Math.round((new Date() - answered) / 1000);
  silence.lastElementChild.textContent = `What stands below is ${seconds} s old. HAProxy serves on without the controller.`;
  body.classList.add("stale");
  if (!document.title.startsWith("? ")) document.title = "? " + document.title;
}

// morph makes a node like another one of its kind.
function morph(was, is) {
  if (was.nodeType === Node.TEXT_NODE) {
    if (was.data !== is.data && !selectionEndsIn(was)) was.data = is.data;
    return;
  }
  if (was.nodeType !== Node.ELEMENT_NODE || was.isEqualNode(is)) return;
  for (const { name } of [...was.attributes]) if (!is.hasAttribute(name)) was.removeAttribute(name);
  for (const { name, value } of is.attributes) if (was.getAttribute(name) !== value) was.setAttribute(name, value);
  morphChildren(was, is);
}

// morphChildren matches children by their data-key, those without one by their place.
function morphChildren(was, is) {
  const keyOf = (node) => node.dataset?.key;
  const wanted = new Set([...is.children].map(keyOf));
  const kept = new Map();
  for (const child of [...was.children]) {
    const key = keyOf(child);
    if (key === undefined) continue;
    if (wanted.has(key)) kept.set(key, child);
    else child.remove();
  }
  let at = was.firstChild;
  for (const next of [...is.childNodes]) {
    const key = keyOf(next);
    const match = key === undefined ? at : kept.get(key);
    if (!match || match.nodeName !== next.nodeName || keyOf(match) !== key) {
      was.insertBefore(next, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else was.insertBefore(match, at);
    morph(match, next);
  }
  while (at) {
    const rest = at;
    at = at.nextSibling;
    rest.remove();
  }
}

// A selection that ends in a text would be lost with it, so that text waits until nothing is selected there.
function selectionEndsIn(node) {
  const selection = getSelection();
  return !selection.isCollapsed && (selection.anchorNode === node || selection.focusNode === node);
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
timer = setTimeout(refresh, every);
