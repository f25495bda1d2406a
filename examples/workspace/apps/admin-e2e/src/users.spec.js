'use strict';
exports.steps = ['lists users', 'adds a manager'];
