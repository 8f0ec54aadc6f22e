// A minimal identity provider: authentication.php and logout.php in one file, for Node.js 18 or later, no packages.
//
//     export SERVICE_KEY=$(openssl rand -base64 48) PEOPLE_FILE=people.json
//     export SERVICE_URL=https://yourcompany.ispringlearn.com/sso/login/jwt
//     node minimal_idp.mjs 5001                         (behind your web server, over https)
//
// Give the service SERVICE_KEY and this program's URLs /login-token/ and /logout. PEOPLE_FILE holds
// {"alice@example.com": {"password": HASH, "given_name": "Alice", "family_name": "Example"}}; make HASH by
// `node minimal_idp.mjs hash`, which reads the password from its input.
// INSECURE_HTTP=1 is for a trial on your own machine, without https. idp/README.md lists what is left out here.
import { createHmac, randomBytes, scrypt as scryptSlow, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { promisify } from "node:util";

const TOKEN_LIFETIME = 60, SESSION_LIFETIME = 8 * 3600, MAX_SIGN_OUT_AGE = 300; // seconds
const MAX_SESSIONS = 10_000, MAX_BODY = 16_384;
const scrypt = promisify(scryptSlow);
const now = () => Math.floor(Date.now() / 1000);
const base64Url = (bytes) => Buffer.from(bytes).toString("base64url");
const COST = { N: 2 ** 15, maxmem: 2 ** 26 };
const hash = async (password, salt) => `${salt}$${base64Url(await scrypt(password, salt, 32, COST))}`;
if (process.argv[2] === "hash") {
  console.log(await hash(readFileSync(0, "utf8").trim(), base64Url(randomBytes(16))));
  process.exit();
}
const { SERVICE_URL, SERVICE_KEY = "", PEOPLE_FILE, INSECURE_HTTP } = process.env; // SERVICE_URL alone gets tokens
if (!SERVICE_URL || SERVICE_KEY.length < 32) throw new Error("Set SERVICE_URL, and SERVICE_KEY (32 characters)");
const stored = Object.entries(JSON.parse(readFileSync(PEOPLE_FILE, "utf8")));
const people = new Map(stored.map(([email, person]) => [email.toLowerCase(), person]));
const UNKNOWN = await hash(randomBytes(16), base64Url(randomBytes(16))); // an unknown person costs the same time
const COOKIE = INSECURE_HTTP ? "idp" : "__Host-idp";
const sessions = new Map(); // id -> { csrf, email, since }; the oldest goes when there are too many

createServer((request, response) => {
  answer(request, response).catch(() => (response.headersSent ? response.destroy() : response.writeHead(400).end()));
}).listen(Number(process.argv[2] ?? 5001), "127.0.0.1");

async function answer(request, response) {
  const url = new URL(request.url, "http://localhost");
  const path = url.pathname.replace(/\/$/, "");
  const target = new URL(SERVICE_URL).origin;
  const policy = `default-src 'none'; form-action 'self' ${target}; frame-ancestors 'none'`;
  response.setHeader("Content-Security-Policy", policy);
  response.setHeader("Cache-Control", "no-store");
  response.setHeader("Referrer-Policy", "no-referrer");
  const session = sessions.get(cookie(request)) ?? {};
  if (request.method === "GET" && path === "/login-token") {
    const known = people.has(session.email) && now() - session.since < SESSION_LIFETIME;
    return known ? sendToken(response, url, session.email) : showForm(response, session);
  }
  if (request.method === "POST" && path === "/login-token") return authenticate(request, response, url, session);
  if (request.method === "GET" && path === "/logout") return logout(request, response, url, session);
  response.writeHead(404).end();
}

// Check what was typed; sign the person in and issue the token, or show the form again.
async function authenticate(request, response, url, session) {
  let body = "";
  for await (const chunk of request) if ((body += chunk).length > MAX_BODY) return response.writeHead(413).end();
  const typed = new URLSearchParams(body);
  if (!session.csrf || !same(session.csrf, typed.get("csrf") ?? "")) {
    return showForm(response, session, "This form has expired. Enter your e-mail and password again.", 400);
  }
  const email = (typed.get("email") ?? "").trim().toLowerCase();
  const expected = people.get(email)?.password ?? UNKNOWN;
  const right = same(expected, await hash(typed.get("password") ?? "", expected.split("$")[0]));
  if (!right || !people.has(email)) return showForm(response, session, "The e-mail or the password is wrong.", 401);
  sessions.delete(cookie(request)); // no session that somebody else has begun
  begin(response, { email, since: now() });
  sendToken(response, url, email);
}

// Sign out the person whom the service's sign-out token names; 401 for any other token.
function logout(request, response, url, session) {
  const [header, payload, signature, ...rest] = (url.searchParams.get("jwt") ?? "").split(".");
  try {
    if (rest.length || !same(sign(`${header}.${payload}`), signature ?? "")) throw new Error("signature");
    const decode = (part) => JSON.parse(Buffer.from(part, "base64url"));
    const [{ alg, typ = "" }, { iat, email }] = [header, payload].map(decode);
    if (alg !== "HS256" || typ.toLowerCase() !== "logout+jwt") throw new Error("type"); // no sign-in token
    if (!Number.isFinite(iat) || Math.abs(now() - iat) > MAX_SIGN_OUT_AGE) throw new Error("age");
    if (typeof email !== "string") throw new Error("email");
    if (session.email === email.toLowerCase()) sessions.delete(cookie(request));
    show(response, "Signed out", `${email} is signed out.`);
  } catch {
    response.writeHead(401).end();
  }
}

// Sign a token that is valid once, for a minute. Send it to the service, with the values that the service sent to us.
function sendToken(response, url, email) {
  const { given_name, family_name } = people.get(email);
  const echo = [...url.searchParams].filter(([name]) => name === "nonce" || name === "return_to");
  const claims = { iat: now(), jti: base64Url(randomBytes(16)), exp: now() + TOKEN_LIFETIME, email };
  Object.assign(claims, { given_name, family_name, nonce: url.searchParams.get("nonce") ?? undefined });
  const signed = `${base64Url('{"alg":"HS256","typ":"JWT"}')}.${base64Url(JSON.stringify(claims))}`;
  const query = new URLSearchParams([["jwt", `${signed}.${sign(signed)}`], ...echo]);
  response.writeHead(303, { Location: `${SERVICE_URL}?${query}` }).end();
}

function sign(text) {
  return createHmac("sha256", SERVICE_KEY).update(text).digest("base64url");
}

function same(one, other) {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function cookie(request) {
  const pairs = (request.headers.cookie ?? "").split("; ");
  return pairs.find((pair) => pair.startsWith(`${COOKIE}=`))?.slice(COOKIE.length + 1);
}

function begin(response, session) {
  const id = base64Url(randomBytes(32));
  if (sessions.size >= MAX_SESSIONS) sessions.delete(sessions.keys().next().value);
  sessions.set(id, session);
  response.setHeader("Set-Cookie", `${COOKIE}=${id}; Path=/; HttpOnly; SameSite=Lax${INSECURE_HTTP ? "" : "; Secure"}`);
  return session;
}

function showForm(response, session, problem = "", status = 200) {
  const { csrf } = session.csrf ? session : begin(response, { csrf: base64Url(randomBytes(16)) });
  show(response, "Sign in", problem, `<form method="post"><input type="hidden" name="csrf" value="${csrf}">
<p><label>E-mail <input name="email" type="email" autocomplete="username" required></label>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<p><button>Sign in</button></form>`, status);
}

function show(response, title, text, form = "", status = 200) {
  const escaped = text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
  response.writeHead(status, { "Content-Type": "text/html; charset=utf-8" }).end(`<!doctype html><html lang="en">
<meta name="viewport" content="width=device-width"><title>${title}</title>
<main><h1>${title}</h1>${escaped && `<p role="alert">${escaped}</p>`}${form}</main></html>`);
}
