// How long a reader waits for verdicts, as JSON: node speed.mjs FOLDER CHROMIUM. `cold`: from opening the page to the
// first verdict, each in a browser of its own, in ms, and the processor seconds of that browser; `checks`: for each
// circuit of the library from asking Python to its answer, in ms.

import { chromium } from "playwright-core";
import { serve } from "./serve.mjs";

const [, , folder, executablePath] = process.argv;
const server = await serve(folder);
const address = `http://127.0.0.1:${server.address().port}/`;
const found = { cold: [], checks: {} };
for (let time = 0; time < 3; time++) {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--no-first-run"] });
  const page = await browser.newPage();
  page.setDefaultTimeout(180_000);
  await page.goto(address);
  await page.waitForFunction(() => /gradient, proved/.test(document.querySelector("#status").textContent));
  const milliseconds = await page.evaluate(() => performance.now());
  const { processInfo } = await (await browser.newBrowserCDPSession()).send("SystemInfo.getProcessInfo");
  const seconds = processInfo.filter((each) => each.type === "renderer").reduce((sum, each) => sum + each.cpuTime, 0);
  found.cold.push({ milliseconds, seconds });
  if (time === 2) {
    const names = await page.locator("#example option").evaluateAll((all) => all.map((each) => each.value).filter(Boolean));
    for (const name of names) {
      await page.evaluate(() => delete document.documentElement.dataset.checked);
      await page.locator("#example").selectOption(name);
      await page.waitForFunction(() => document.documentElement.dataset.checked !== undefined);
      found.checks[name] = Number(await page.evaluate(() => document.documentElement.dataset.checked));
    }
  }
  await browser.close();
}
server.close();
console.log(JSON.stringify(found));
