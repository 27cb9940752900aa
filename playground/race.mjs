// Runs race.js in Chromium and prints what it gives as JSON: node race.mjs FOLDER CHROMIUM ROUNDS, where the folder holds
// race.js, bundled, and race.json with { source, x, y }.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { serve } from "./serve.mjs";

const [, , folder, executablePath, rounds] = process.argv;
writeFileSync(join(folder, "index.html"), "<!doctype html><title>race</title>");
const server = await serve(folder);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--no-first-run"] });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(600_000);
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const found = await page.evaluate(async (count) => {
    const [{ race }, response] = await Promise.all([import("/race.js"), fetch("/race.json")]);
    const { source, x, y } = await response.json();
    return race(source, x, y, count);
  }, Number(rounds));
  console.log(JSON.stringify(found));
} finally {
  await browser.close();
  server.close();
}
