// Playwright Test starts an emulated iSpring Learn and an identity provider for tests, and stops them at the end.
//
//     npm install --save-dev @playwright/test && npx playwright install chromium
//     pip install lychgate                                     (from a checkout: LAB="python -m lab")
//     npx playwright test
import { defineConfig } from "@playwright/test";

const lab = process.env.LAB ?? "lychgate lab";
export const learn = `http://127.0.0.1:${process.env.LEARN_PORT ?? 5002}`; // the emulated service
export const idp = `http://127.0.0.1:${process.env.IDP_PORT ?? 5001}`; // yours, instead, once it signs in
const key = process.env.SERVICE_KEY ?? "a secret that only these tests know";

export default defineConfig({
  workers: 1, // both servers remember who has signed in: one test at a time
  use: { launchOptions: { executablePath: process.env.CHROMIUM, args: process.env.CHROMIUM_ARGS?.split(" ") ?? [] } },
  webServer: [
    {
      command: `${lab} serve-sp ispring --port ${new URL(learn).port} --key env:SERVICE_KEY --login-url ${idp}/login-token/`,
      url: `${learn}/__lab__/`,
      env: { SERVICE_KEY: key },
    },
    {
      command: `${lab} serve-idp --port ${new URL(idp).port} --key env:SERVICE_KEY --service ${learn}/sso/login/jwt`,
      url: `${idp}/__lab__/`,
      env: { SERVICE_KEY: key },
    },
  ],
});
