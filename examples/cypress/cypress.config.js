// Cypress against an emulated iSpring Learn and an identity provider for tests. Start both first, with one key:
//
//     export SERVICE_KEY="a secret that only these tests know"
//     lychgate lab serve-sp ispring --port 5002 --key env:SERVICE_KEY --login-url http://127.0.0.1:5001/login-token/ &
//     lychgate lab serve-idp --port 5001 --key env:SERVICE_KEY --service http://127.0.0.1:5002/sso/login/jwt &
//     npm install --save-dev cypress && npx cypress run
const { defineConfig } = require("cypress");

module.exports = defineConfig({
  e2e: {
    baseUrl: "http://127.0.0.1:5002", // the emulated service
    specPattern: "sign_in.cy.js",
    supportFile: false,
  },
  env: { idp: "http://127.0.0.1:5001" }, // yours, instead, once it signs in
});
