// POST /__lab__/next decides what the identity provider sends. GET /__lab__/last says whether the service accepted it.
import { expect, test } from "@playwright/test";
import { idp, learn } from "./playwright.config";

test.beforeEach(async ({ request }) => {
  await request.post(`${learn}/__lab__/reset`);
  await request.post(`${idp}/__lab__/reset`);
});

test("Alice signs in to iSpring Learn", async ({ page, request }) => {
  await request.post(`${idp}/__lab__/next`, { data: { user: "alice@example.org" } });
  await page.goto(`${learn}/login`);
  await expect(page.getByRole("heading", { name: "You are signed in" })).toBeVisible();
  await expect(page.getByText("Signed in as alice@example.org.")).toBeVisible();
  const last = await (await request.get(`${learn}/__lab__/last`)).json();
  expect(last).toMatchObject({ accepted: true, claims: { email: "alice@example.org" } });
});

test("an expired token is refused, and the page says why", async ({ page, request }) => {
  await request.post(`${idp}/__lab__/next`, { data: { user: "alice@example.org", fault: "expired" } });
  await page.goto(`${learn}/login`);
  await expect(page.getByRole("heading", { name: "iSpring Learn refused this sign-in" })).toBeVisible();
  const last = await (await request.get(`${learn}/__lab__/last`)).json();
  expect(last).toMatchObject({ accepted: false, rule: "exp" });
});
