// POST /__lab__/next decides what the identity provider sends. GET /__lab__/last says whether the service accepted it.
const idp = Cypress.env("idp");

beforeEach(() => {
  cy.request("POST", "/__lab__/reset");
  cy.request("POST", `${idp}/__lab__/reset`);
});

it("signs Alice in to iSpring Learn", () => {
  cy.request("POST", `${idp}/__lab__/next`, { user: "alice@example.org" });
  cy.visit("/login");
  cy.contains("h1", "You are signed in");
  cy.request("/__lab__/last").its("body").should("deep.include", { accepted: true });
});

it("shows why an expired token is refused", () => {
  cy.request("POST", `${idp}/__lab__/next`, { user: "alice@example.org", fault: "expired" });
  cy.visit("/login", { failOnStatusCode: false });
  cy.contains("h1", "iSpring Learn refused this sign-in");
  cy.request("/__lab__/last").its("body").should("deep.include", { accepted: false, rule: "exp" });
});
