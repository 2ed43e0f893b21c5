// What a program does with the AWS SDK for JavaScript v3. It is given {url, flaky, application, key,
// wrong, stream} as JSON: a server, a way to it that loses the first answer, an application, an
// access key and one that is wrong, and an event stream. It prints what came of it.

const {
  PinpointClient,
  BadRequestException,
  ConflictException,
  MethodNotAllowedException,
  NotFoundException,
  CreateAppCommand,
  CreateSmsTemplateCommand,
  DeleteAppCommand,
  GetAppsCommand,
  GetCampaignsCommand,
  GetEndpointCommand,
  GetSmsChannelCommand,
  GetSmsTemplateCommand,
  ListTagsForResourceCommand,
  ListTemplatesCommand,
  PhoneNumberValidateCommand,
  PutEventsCommand,
  PutEventStreamCommand,
  SendMessagesCommand,
  SendOTPMessageCommand,
  SendUsersMessagesCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateEndpointCommand,
  UpdateSmsChannelCommand,
  VerifyOTPMessageCommand,
} = require("@aws-sdk/client-pinpoint");

const given = JSON.parse(require("fs").readFileSync(0));
const NUMBER = "+15550100200";
const OTHER = "+14255550199";
const ENDPOINT = "us-east-1:ab c/d é";

function client(url, key, maxAttempts = 1) {
  const credentials = { accessKeyId: key.id, secretAccessKey: key.secret, sessionToken: "a/token+=" };
  return new PinpointClient({ endpoint: url, region: "eu-central-1", credentials, maxAttempts });
}

async function refused(promise, Kind) {
  try {
    await promise;
  } catch (error) {
    return {
      name: error.name,
      typed: Kind !== undefined && error instanceof Kind,
      status: error.$metadata.httpStatusCode,
      message: error.message,
      requestId: error.$metadata.requestId,
      RequestID: error.RequestID,
    };
  }
  throw new Error("was not refused");
}

async function main() {
  const one = client(given.url, given.key);
  const send = (command) => one.send(command);
  const told = {};

  const app = (
    await send(new CreateAppCommand({ CreateApplicationRequest: { Name: "js", tags: { a: "ä b" } } }))
  ).ApplicationResponse;
  const ApplicationId = app.Id;
  const ResourceArn = app.Arn;
  told.app = app.Name;
  told.apps = (await send(new GetAppsCommand({ PageSize: "100" }))).ApplicationsResponse.Item.map(
    (item) => item.Name,
  );

  await send(new TagResourceCommand({ ResourceArn, TagsModel: { tags: { b: "2", c: "3" } } }));
  await send(new UntagResourceCommand({ ResourceArn, TagKeys: ["a", "c"] }));
  told.tags = (await send(new ListTagsForResourceCommand({ ResourceArn }))).TagsModel.tags;

  const SMSChannelRequest = { Enabled: true, SenderId: "SHOP" };
  await send(new UpdateSmsChannelCommand({ ApplicationId, SMSChannelRequest }));
  const channel = (await send(new GetSmsChannelCommand({ ApplicationId }))).SMSChannelResponse;
  told.channel = [channel.Enabled, channel.SenderId, channel.Platform];

  const EndpointRequest = {
    Address: NUMBER,
    ChannelType: "SMS",
    Attributes: { colours: ["blue"] },
    User: { UserId: "ann", UserAttributes: { first: ["Ann"] } },
  };
  const updated = await send(
    new UpdateEndpointCommand({ ApplicationId, EndpointId: ENDPOINT, EndpointRequest }),
  );
  told.updated = [updated.MessageBody.Message, updated.$metadata.httpStatusCode];
  const endpoint = (
    await send(new GetEndpointCommand({ ApplicationId, EndpointId: ENDPOINT }))
  ).EndpointResponse;
  told.endpoint = [endpoint.Id, endpoint.Address, endpoint.User.UserAttributes.first];

  const TemplateName = "js-hello";
  const SMSTemplateRequest = { Body: "Hello {{User.UserAttributes.first}}" };
  const created = await send(new CreateSmsTemplateCommand({ TemplateName, SMSTemplateRequest }));
  told.created = [created.CreateTemplateMessageBody.Message, created.$metadata.httpStatusCode];
  told.template = (await send(new GetSmsTemplateCommand({ TemplateName }))).SMSTemplateResponse.Body;
  told.templates = (
    await send(new ListTemplatesCommand({ TemplateType: "SMS", Prefix: "js" }))
  ).TemplatesResponse.Item.map((item) => item.TemplateName);

  const MessageConfiguration = { SMSMessage: { Body: "hello", MessageType: "TRANSACTIONAL" } };
  const MessageRequest = {
    Addresses: { [NUMBER]: { ChannelType: "SMS" } },
    Endpoints: { [ENDPOINT]: {} },
    MessageConfiguration,
  };
  const sent = (await send(new SendMessagesCommand({ ApplicationId, MessageRequest })))
    .MessageResponse;
  told.sent = [sent.ApplicationId === ApplicationId, sent.Result, sent.EndpointResult];
  const SendUsersMessageRequest = {
    Users: { ann: {}, nobody: {} },
    MessageConfiguration,
    TemplateConfiguration: { SMSTemplate: { Name: TemplateName } },
  };
  told.users = (
    await send(new SendUsersMessagesCommand({ ApplicationId, SendUsersMessageRequest }))
  ).SendUsersMessageResponse.Result;

  const code = { DestinationIdentity: OTHER, ReferenceId: "login" };
  const SendOTPMessageRequestParameters = {
    ...code,
    BrandName: "Shop",
    Channel: "SMS",
    OriginationIdentity: "SHOP",
  };
  told.code = (
    await send(new SendOTPMessageCommand({ ApplicationId, SendOTPMessageRequestParameters }))
  ).MessageResponse.Result;
  const VerifyOTPMessageRequestParameters = { ...code, Otp: "no digits" };
  told.valid = (
    await send(new VerifyOTPMessageCommand({ ApplicationId, VerifyOTPMessageRequestParameters }))
  ).VerificationResponse.Valid;

  const NumberValidateRequest = { PhoneNumber: "+12065550142" };
  told.country = (
    await send(new PhoneNumberValidateCommand({ NumberValidateRequest }))
  ).NumberValidateResponse.CountryCodeIso2;

  const WriteEventStream = given.stream;
  told.stream = (
    await send(new PutEventStreamCommand({ ApplicationId, WriteEventStream }))
  ).EventStream.DestinationStreamArn;
  const now = new Date().toISOString();
  const Events = { opened: { EventType: "_session.start", Timestamp: now } };
  const EventsRequest = { BatchItem: { [ENDPOINT]: { Endpoint: {}, Events } } };
  told.events = (
    await send(new PutEventsCommand({ ApplicationId, EventsRequest }))
  ).EventsResponse.Results[ENDPOINT].EventsItemResponse;

  told.errors = {
    bad: await refused(
      send(new SendMessagesCommand({ ApplicationId, MessageRequest: { MessageConfiguration } })),
      BadRequestException,
    ),
    missing: await refused(
      send(new SendMessagesCommand({ ApplicationId: "nobody", MessageRequest })),
      NotFoundException,
    ),
    outOfScope: await refused(
      send(new GetCampaignsCommand({ ApplicationId })),
      MethodNotAllowedException,
    ),
    twice: await refused(
      send(new CreateSmsTemplateCommand({ TemplateName, SMSTemplateRequest })),
      BadRequestException,
    ),
    signature: await refused(
      client(given.url, given.wrong).send(new SendMessagesCommand({ ApplicationId, MessageRequest })),
    ),
  };
  told.deleted = (await send(new DeleteAppCommand({ ApplicationId }))).ApplicationResponse.Name;

  const again = await client(given.flaky, given.key, 3).send(
    new SendMessagesCommand({
      ApplicationId: given.application,
      MessageRequest: { Addresses: { [NUMBER]: { ChannelType: "SMS" } }, MessageConfiguration },
    }),
  );
  told.again = [again.$metadata.attempts, again.MessageResponse.Result[NUMBER].StatusCode];
  return told;
}

main().then((told) => console.log(JSON.stringify(told)));
