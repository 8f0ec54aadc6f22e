// Runs a Cypress spec without Cypress: the four commands that the example uses, with fetch in place of a browser.
// Usage: node cypress_stand_in.mjs SPEC BASE_URL IDP_URL
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import vm from "node:vm";

const [spec, baseUrl, idp] = process.argv.slice(2);
const before = [];
const tests = [];
let steps = [];
let page = "";
let cookies = new Map();

const cy = {
  request(...given) {
    const [method, url, body] = given.length === 1 ? ["GET", given[0]] : given;
    const asked = { expectations: [] };
    steps.push(async () => {
      const options = { method, headers: { "Content-Type": "application/json" } };
      if (method === "POST") options.body = body === undefined ? "{}" : JSON.stringify(body);
      const answer = await fetch(new URL(url, baseUrl), options);
      assert.ok(answer.ok, `${method} ${url}: ${answer.status}`);
      if (asked.expectations.length) {
        const json = await answer.json();
        for (const wanted of asked.expectations) include(json, wanted);
      }
    });
    return { its: () => ({ should: (_how, wanted) => asked.expectations.push(wanted) }) };
  },
  visit(url, { failOnStatusCode = true } = {}) {
    steps.push(async () => {
      let at = new URL(url, baseUrl);
      for (let hop = 0; hop < 10; hop++) {
        const cookie = [...cookies].filter(([name]) => name.startsWith(at.origin)).map(([, pair]) => pair);
        const answer = await fetch(at, { redirect: "manual", headers: { Accept: "text/html", Cookie: cookie.join("; ") } });
        for (const line of answer.headers.getSetCookie()) {
          cookies.set(`${at.origin} ${line.split("=")[0]}`, line.split(";")[0]);
        }
        const next = answer.headers.get("Location");
        page = await answer.text();
        if (!next) {
          assert.ok(answer.ok || !failOnStatusCode, `${at}: ${answer.status}`);
          return;
        }
        at = new URL(next, at);
      }
      assert.fail("too many redirects");
    });
  },
  contains(tag, text) {
    steps.push(async () => assert.match(page, new RegExp(`<${tag}[^>]*>[^<]*${text}[^<]*</${tag}>`)));
  },
};

function include(whole, wanted) {
  for (const [name, value] of Object.entries(wanted)) assert.deepEqual(whole[name], value, name);
}

vm.runInNewContext(readFileSync(spec, "utf8"), {
  cy,
  Cypress: { env: (name) => ({ idp })[name] },
  beforeEach: (run) => before.push(run),
  it: (name, run) => tests.push([name, run]),
});
for (const [name, run] of tests) {
  steps = [];
  cookies = new Map();
  for (const first of before) first();
  run();
  for (const step of steps) await step();
  console.log(`passed: ${name}`);
}
