'use strict';
/** Renders the pages (`build`), or writes the word list and the link reports (`lint`). */
const path = require('node:path');
const { main } = require('./lib/task');
const output = require('./lib/output');

function render(root, page) {
  const title = path.basename(page, '.md');
  const body = output.read(page).toString('utf8').trim();
  return `<!doctype html>\n<title>${title}</title>\n<pre>${body}</pre>\n`;
}

function wordsOf(pages) {
  const text = pages
    .map((page) => output.read(page).toString('utf8'))
    .join(' ');
  return [...new Set(text.toLowerCase().match(/[a-z]{4,}/g))].sort();
}

main(({ root, target }) => {
  const pages = output
    .listFiles(`${root}/pages`)
    .filter((page) => page.endsWith('.md'));
  if (target === 'build') {
    for (const page of pages) {
      const name = path.basename(page, '.md');
      output.write(`dist/${root}/${name}.html`, render(root, page));
    }
    return;
  }
  output.write(`${root}/words.gen.txt`, `${wordsOf(pages).join('\n')}\n`);
  for (const page of pages) {
    const links =
      output
        .read(page)
        .toString('utf8')
        .match(/\]\([^)]*\)/g) ?? [];
    output.writeJson(`${root}/${path.basename(page, '.md')}.report.json`, {
      page,
      links: links.length,
    });
  }
});
