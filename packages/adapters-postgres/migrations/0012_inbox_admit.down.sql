drop function :"schema".inbox_admit(text, text[]);
