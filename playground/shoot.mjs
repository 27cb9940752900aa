// Takes pictures in Chromium, for website/pictures.py:
//   node shoot.mjs page ADDRESS FILE CHROMIUM WIDTH HEIGHT     the top of a page, or all of it if HEIGHT is 0
//   node shoot.mjs notebook ADDRESS FILE CHROMIUM WIDTH N      a notebook in JupyterLab, run from the top: two pictures,
//                                                              FILE-1.png of the first N cells, FILE-2.png of the others

import { chromium } from "playwright-core";

const [, , what, address, file, executablePath, width, last] = process.argv;
const TALL = 6000;

async function page(browser) {
  const shown = await browser.newPage({ viewport: { width: Number(width), height: Number(last) || 100 } });
  await shown.goto(address);
  await shown.screenshot({ path: file, fullPage: last === "0" });
}

async function notebook(browser) {
  const shown = await browser.newPage({ viewport: { width: Number(width), height: TALL } });
  shown.setDefaultTimeout(120_000);
  await shown.goto(`${address}?reset`);
  const cells = shown.locator(".jp-Notebook .jp-CodeCell");
  await cells.first().locator(".cm-content").waitFor();
  await shown.locator("#jp-main-statusbar", { hasText: "| Idle" }).waitFor();
  await shown.locator(".lm-MenuBar-item", { hasText: "Run" }).click();
  await shown.locator(".lm-Menu-item", { hasText: "Run All Cells" }).first().click();
  const prompts = cells.locator(".jp-InputPrompt");
  await prompts.first().filter({ hasText: /\d|\*/ }).waitFor();
  while ((await prompts.allTextContents()).some((prompt) => prompt.includes("*"))) await shown.waitForTimeout(500);
  const told = (await prompts.allTextContents()).join(" ");
  if (/\[ \]/.test(told)) throw new Error(`a cell failed before the last one: ${told}`);
  await shown.mouse.move(5, 5);
  await shown.evaluate(() => document.activeElement.blur());
  const boxes = await Promise.all((await cells.all()).map((cell) => cell.boundingBox()));
  const parts = [boxes.slice(0, Number(last)), boxes.slice(Number(last))];
  for (const [i, part] of parts.entries()) {
    const [{ x, y, width }, end] = [part[0], part.at(-1)];
    await shown.screenshot({ path: `${file}-${i + 1}.png`, clip: { x, y, width, height: end.y + end.height - y } });
  }
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--no-first-run"] });
try {
  await { page, notebook }[what](browser);
} finally {
  await browser.close();
}
