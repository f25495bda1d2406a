'use strict';
/** Looks for tabs, trailing blanks and missing newlines in a project's files. Writes nothing. */
const { main } = require('./lib/task');
const output = require('./lib/output');

main(({ root }) => {
  let faults = 0;
  const files = output.listFiles(root).filter((file) => file.endsWith('.js'));
  for (const file of files) {
    const text = output.read(file).toString('utf8');
    if (/\t|[ ]\n/.test(text) || !text.endsWith('\n')) {
      console.error(`${file}: tab, trailing blank or missing newline`);
      faults += 1;
    }
  }
  console.log(`${files.length} files, ${faults} with faults`);
  if (faults > 0) process.exitCode = 1;
});
