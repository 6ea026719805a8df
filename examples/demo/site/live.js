"use strict";

const put = (id, text) => { document.getElementById(id).textContent = text; };

async function ask(url, kind) {
  const started = performance.now();
  const answer = await fetch(url, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
  const body = await answer[kind]();
  return { answer, body, took: `${(performance.now() - started).toFixed(1)} ms` };
}

async function folder() {
  const { answer, took } = await ask("favicon.svg", "text");
  put("static-type", answer.headers.get("Content-Type"));
  put("static-length", `${answer.headers.get("Content-Length")} bytes`);
  put("static-took", took);
}

async function application() {
  const { body, took } = await ask("/app/now.json", "json");
  put("wsgi-time", body.time);
  put("wsgi-thread", body.thread);
  put("wsgi-entries", body.entries);
  put("wsgi-took", took);
}

async function program() {
  const { body, took } = await ask("/cgi-bin/clock", "text");
  put("cgi-time", body.trim());
  put("cgi-took", took);
}

async function stream() {
  const answer = await fetch("/app/count", { cache: "no-store" });
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  put("stream", "");
  for (;;) {
    const { done, value } = await reader.read();
    document.getElementById("stream").textContent += decoder.decode(value, { stream: !done });
    if (done) return;
  }
}

async function refresh() {
  const parts = await Promise.allSettled([folder(), application(), program(), stream()]);
  const errors = parts.filter((part) => part.status === "rejected").map((part) => String(part.reason));
  put("live", errors.length ? errors.join("; ") : "all four answered");
}

document.getElementById("again").addEventListener("click", refresh);
refresh();
