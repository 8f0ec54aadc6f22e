// An identity provider with ten defects that let others in: node dangerous.mjs PORT
//
// The path chooses the defects: /none/login-token/, /framing/login-token/, /framing+redirects/login-token/,
// /all/login-token/. It reads RETURN_URL, SERVICE_KEY, AUDIENCE, EMAIL and PASSWORD from the environment.
import { createHmac, randomBytes, scryptSync, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const { RETURN_URL, SERVICE_KEY, AUDIENCE, EMAIL, PASSWORD } = process.env;
const b64 = (content) => Buffer.from(content).toString("base64url");
const sign = (text) => createHmac("sha256", SERVICE_KEY).update(text).digest("base64url");
const same = (a, b) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
const hash = (password) => scryptSync(password, "salt of this run", 32, { N: 2 ** 15, maxmem: 2 ** 26 });
const right = hash(PASSWORD);
const sessions = new Map();

createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  const [, chosen, page] = url.pathname.split("/");
  const has = (defect) => chosen === "all" || chosen.split("+").includes(defect);
  const visit = { request, response, url, has, id: /sid=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1] };
  response.setHeader("Cache-Control", "no-store");
  response.setHeader("Referrer-Policy", "no-referrer");
  if (!has("framing")) response.setHeader("X-Frame-Options", "DENY");
  const session = sessions.get(visit.id) ?? {};
  if (page === "logout") return signOut(visit);
  if (page === "deliver") return session.email ? deliver(visit, session.email) : form(visit);
  if (request.method === "POST") return authenticate(visit, session);
  return session.email ? deliver(visit, session.email) : form(visit);
}).listen(Number(process.argv[2]), "127.0.0.1");

async function authenticate(visit, session) {
  let body = "";
  for await (const chunk of visit.request) body += chunk;
  const typed = new URLSearchParams(body);
  if (!session.csrf || session.csrf !== typed.get("csrf")) return form(visit, 400, "This form has expired.");
  const wrong = () => form(visit, 401, "The e-mail or the password is wrong.");
  const known = typed.get("email") === EMAIL;
  if (!known && visit.has("user_timing")) return wrong();
  const matches = timingSafeEqual(hash(typed.get("password") ?? ""), right);
  if (!known || !matches) return wrong();
  if (visit.has("session_renewed")) session.email = EMAIL;
  else begin(visit, { email: EMAIL });
  if (visit.has("redirects")) {
    const onward = visit.url.pathname.replace("login-token", "deliver") + visit.url.search;
    return visit.response.writeHead(307, { Location: onward }).end();
  }
  deliver(visit, EMAIL);
}

function signOut({ response, url, has, id }) {
  const [header, claims, signature] = (url.searchParams.get("jwt") ?? "").split(".");
  if (!has("sign_out_signature") && !same(sign(`${header}.${claims}`), signature ?? "")) {
    return response.writeHead(401).end("The token is not valid.");
  }
  sessions.delete(id);
  response.end("Signed out.");
}

function deliver({ response, url, has }, email) {
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: has("token_algorithm") ? "none" : "HS256", typ: has("token_type") ? "logout+jwt" : "JWT" };
  const claims = { iat: now, exp: now + 60, jti: randomBytes(16).toString("hex"), email, aud: AUDIENCE };
  if (has("fresh_tokens")) claims.jti = "0f8fad5b-d9cb-469f-a165-70867728950e";
  if (has("token_audience")) claims.aud = "another-service";
  claims.nonce = url.searchParams.get("nonce") ?? undefined;
  const signed = `${b64(JSON.stringify(header))}.${b64(JSON.stringify(claims))}`;
  const token = `${signed}.${header.alg === "none" ? "" : sign(signed)}`;
  const returnTo = url.searchParams.get("return_to") ?? "";
  const ours = new URL(RETURN_URL).host;
  const follows = has("foreign_return") && returnTo && new URL(returnTo, RETURN_URL).host !== ours;
  show(response, 200, "You are signed in", `<form method="post" action="${escape(follows ? returnTo : RETURN_URL)}">
<input type="hidden" name="jwt" value="${token}"><input type="hidden" name="return_to" value="${escape(returnTo)}">
<button>Go on</button></form>`);
}

function form(visit, status = 200, problem = "") {
  const csrf = sessions.get(visit.id)?.csrf ?? begin(visit, { csrf: randomBytes(16).toString("hex") }).csrf;
  show(visit.response, status, "Sign in", `<p>${problem}</p><form method="post">
<input type="hidden" name="csrf" value="${csrf}"><input type="email" name="email">
<input type="password" name="password"><button>Sign in</button></form>`);
}

function begin(visit, session) {
  const id = randomBytes(24).toString("base64url");
  sessions.delete(visit.id);
  sessions.set(id, session);
  visit.response.setHeader("Set-Cookie", `sid=${id}; Path=/; HttpOnly; SameSite=Lax`);
  return session;
}

function show(response, status, title, body) {
  response.writeHead(status, { "Content-Type": "text/html; charset=utf-8" });
  response.end(`<!doctype html><title>${title}</title><h1>${title}</h1>${body}`);
}

function escape(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}
