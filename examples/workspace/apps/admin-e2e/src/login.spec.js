'use strict';
exports.steps = ['refuses a stranger', 'greets a clerk'];
